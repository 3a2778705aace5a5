package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/internal/access"
)

func (env *environment) portalUserCommand() *cobra.Command {
	return group("portal-user", "Portal users and how they sign in", env.portalUserInvite(), env.portalUserLetter(), env.portalUserConfirmAddress(), env.portalUserPassword(), env.portalUserList())
}

func (env *environment) portalUserInvite() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "invite ID…", Short: "Print the token with which a portal user sets a password, or send several an invitation",
		Long: "With one ID, prints the single-use token with which the portal user sets a password, and sends nothing.\n" +
			"With several, or --all-without-account, starts a run of invitations, which the api process sends by e-mail.",
		Args: func(_ *cobra.Command, args []string) error {
			if all != (len(args) == 0) {
				return errors.New("name portal users, or give --all-without-account")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return env.startInvitations(cmd.Context(), access.Invitees{IDs: args, Everyone: all})
			}
			return env.withGate(cmd.Context(), func(_ *system, g *access.Gate) error {
				token, err := g.Invite(cmd.Context(), operator(), args[0])
				if err != nil {
					return err
				}
				return env.say(invitationJSON{token}, "%s", token)
			})
		}}
	c.Flags().BoolVar(&all, "all-without-account", false, "invite all active portal users with an e-mail address and without an account")
	return c
}

func (env *environment) portalUserLetter() *cobra.Command {
	return &cobra.Command{Use: "letter ID", Short: "Print a user name and a code for a letter to a portal user without an e-mail address", Args: cobra.ExactArgs(1),
		Long: "Prints a user name and a single-use code, with which a portal user without a working e-mail address sets a password.\n" +
			"A letter or a link that was made before stops working. The code is not shown again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withGate(cmd.Context(), func(_ *system, g *access.Gate) error {
				made, err := g.MakeLetter(cmd.Context(), operator(), args[0], access.NewPrint())
				if err != nil {
					return err
				}
				return env.say(letterJSON{made.UserName, made.Code, made.ExpiresAt.UTC(), made.First}, "user name %s\ncode %s\nvalid until %s", made.UserName, made.Code, stamp(made.ExpiresAt))
			})
		}}
}

func (env *environment) startInvitations(ctx context.Context, who access.Invitees) error {
	return env.withGate(ctx, func(_ *system, g *access.Gate) error {
		run, err := g.StartInvitations(ctx, operator(), who)
		if err != nil {
			return err
		}
		r, err := g.InvitationRun(ctx, run)
		if err != nil {
			return err
		}
		return env.say(invitationRunJSON{run, r.People}, "invitations %s of %d portal users: the api process sends them. Administration › Invitations shows how far it is", run, r.People)
	})
}

func (env *environment) portalUserConfirmAddress() *cobra.Command {
	return &cobra.Command{Use: "confirm-address ID", Short: "Say that you checked a changed e-mail address with the portal user", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withGate(cmd.Context(), func(_ *system, g *access.Gate) error {
				known, err := g.PortalAccount(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := g.ConfirmAddress(cmd.Context(), operator(), args[0], known.AddressVersion); err != nil {
					return err
				}
				return env.say(confirmedJSON{args[0]}, "the e-mail address of %s is confirmed: links to set a password go to it", args[0])
			})
		}}
}

func (env *environment) portalUserPassword() *cobra.Command {
	var stdin bool
	c := &cobra.Command{Use: "set-password ID", Short: "Set a portal user's password", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := env.readSecret()
			if err != nil {
				return err
			}
			return env.withGate(cmd.Context(), func(_ *system, g *access.Gate) error {
				if err := g.SetPortalPassword(cmd.Context(), operator(), args[0], password); err != nil {
					return err
				}
				sharing, err := g.Sharing(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				text := "the password of %s is set"
				if sharing > 0 {
					text += fmt.Sprintf("; other accounts with the same e-mail address: %d. At sign-in, the password selects the account", sharing)
				}
				return env.say(passwordSetJSON{args[0], sharing}, text, args[0])
			})
		}}
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	require(c, "password-stdin")
	return c
}

// portalUserJSON is a portal user in --json.
type portalUserJSON struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Active bool   `json:"active"`
}

func (env *environment) portalUserList() *cobra.Command {
	var limit int
	c := &cobra.Command{Use: "list", Short: "List portal users", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.with(cmd.Context(), func(s *system) error {
				rows, err := s.pool.Query(cmd.Context(), `SELECT portal_user_id, name, email, active
					FROM app.portal_users ORDER BY portal_user_no LIMIT nullif($1, 0)`, limit)
				if err != nil {
					return fmt.Errorf("listing portal users: %w", err)
				}
				defer rows.Close()
				w := newTable(env.out)
				// A JSON array like in other lists, but written while it is read, because it
				// may have a million members.
				between, opens, ends := "", "[", "]\n"
				if !env.json {
					opens, ends = "", ""
				}
				_, _ = io.WriteString(env.out, opens)
				for rows.Next() {
					var u portalUserJSON
					if err := rows.Scan(&u.ID, &u.Name, &u.Email, &u.Active); err != nil {
						return fmt.Errorf("listing portal users: %w", err)
					}
					if env.json {
						_, _ = io.WriteString(env.out, between)
						between = ","
						if err := env.say(u, ""); err != nil {
							return err
						}
						continue
					}
					state := "active"
					if !u.Active {
						state = "inactive"
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.ID, u.Name, u.Email, state)
				}
				if err := rows.Err(); err != nil {
					return fmt.Errorf("listing portal users: %w", err)
				}
				_, _ = io.WriteString(env.out, ends)
				return w.Flush()
			})
		}}
	c.Flags().IntVar(&limit, "limit", 0, "the most to list; 0 lists all")
	return c
}
