package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/access"
	"postern/internal/access/factor"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/labels"
)

func (env *environment) staffCommand() *cobra.Command {
	return group("staff", "Staff and their permissions",
		env.staffCreate(), env.staffInvite(), env.staffReset(), env.staffEdit(), env.staffChange("permit", "Give permissions", (*access.Gate).Permit),
		env.staffChange("forbid", "Take permissions away", (*access.Gate).Forbid), env.staffList(),
		env.staffSwitch("disable", "Disable a staff account: its sessions, API tokens and password stop working", (*access.Gate).Disable, "is disabled"),
		env.staffSwitch("enable", "Enable a disabled staff account", (*access.Gate).Enable, "is enabled"),
		env.staffSwitch("reset-second-factor", "Remove all second factors of a staff member who has lost them", (*access.Gate).ResetFactor, "now signs in with the password alone"),
		env.staffSwitch("unlink", "Unlink a staff account from its identity at the organisation; the next sign-in there with its e-mail address links it again", (*access.Gate).Unlink, "is not linked to the organisation"),
		env.staffGrants(), env.grantSettle("approve", "Approve a permission that an administrator requested, as the second person", "has", (*access.Gate).ApproveGrant),
		env.grantSettle("reject", "Reject a permission that an administrator requested", "does not get", (*access.Gate).WithdrawGrant))
}

// staffJSON is a staff member in --json.
type staffJSON struct {
	ID          string              `json:"id"`
	Email       string              `json:"email"`
	Name        string              `json:"name"`
	Permissions []policy.Permission `json:"permissions"`
	Disabled    bool                `json:"disabled"`
	State       access.StaffState   `json:"state"`
	// Linked is whether they sign in at the organisation with one identity, which LinkedTo
	// names the issuer of.
	Linked      bool       `json:"linked"`
	LinkedSince *time.Time `json:"linked_since,omitempty"`
	LinkedTo    string     `json:"linked_to,omitempty"`
	// SecondFactor is whether they have a second factor, and SecondFactors its kinds.
	SecondFactor  bool          `json:"second_factor"`
	SecondFactors []factor.Kind `json:"second_factors"`
}

func staffOut(g *access.Gate, s access.Staff) staffJSON {
	if s.Permissions == nil {
		s.Permissions = []policy.Permission{}
	}
	return staffJSON{s.ID, s.Email, s.Name, s.Permissions, s.DisabledAt != nil, g.StateOf(s), s.LinkedAt != nil, s.LinkedAt, s.LinkedTo, len(s.SecondFactors) > 0, s.SecondFactors}
}

func (env *environment) staffCreate() *cobra.Command {
	var n access.NewStaff
	var permit []string
	var password bool
	const short = "Create a staff account for a script, with a password from standard input or with API tokens alone"
	c := &cobra.Command{Use: "create", Short: short, Long: short + "\n\n" + permissionsHelp(), Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if n.Permissions, err = parsePermissions(permit); err != nil {
				return err
			}
			if password {
				if n.Password, err = env.readSecret(); err != nil {
					return err
				}
			}
			return env.withGate(cmd.Context(), func(_ *system, g *access.Gate) error {
				s, err := g.CreateStaff(cmd.Context(), operator(), n)
				if err != nil {
					return err
				}
				return env.say(staffOut(g, s), "created the staff account of %s, with the id %s", s.Name, s.ID)
			})
		}}
	c.Flags().StringVar(&n.Email, "email", "", "e-mail address to sign in with")
	c.Flags().StringVar(&n.Name, "name", "", "name that others see")
	c.Flags().StringSliceVar(&permit, "permit", nil, "permissions, comma-separated")
	c.Flags().BoolVar(&password, "password-stdin", false, "read the password from standard input")
	require(c, "email", "name")
	return c
}

func (env *environment) staffInvite() *cobra.Command {
	n := access.NewStaff{Invited: true}
	var permit []string
	const short = "Create a staff account and print the single-use link with which its owner sets a password"
	c := &cobra.Command{Use: "invite", Short: short, Long: short + "\n\n" + permissionsHelp(), Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if n.Permissions, err = parsePermissions(permit); err != nil {
				return err
			}
			return env.withGate(cmd.Context(), func(s *system, g *access.Gate) error {
				made, err := g.CreateStaff(cmd.Context(), operator(), n)
				if err != nil {
					return err
				}
				return env.printLink(cmd.Context(), s, g, made)
			})
		}}
	c.Flags().StringVar(&n.Email, "email", "", "e-mail address to sign in with")
	c.Flags().StringVar(&n.Name, "name", "", "name that others see")
	c.Flags().StringSliceVar(&permit, "permit", nil, "permissions, comma-separated")
	require(c, "email", "name")
	return c
}

func (env *environment) staffReset() *cobra.Command {
	return &cobra.Command{Use: "reset EMAIL|ID", Short: "Print a single-use link with which a staff member sets a first or a new password", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withGate(cmd.Context(), func(s *system, g *access.Gate) error {
				staff, err := staffNamed(cmd.Context(), g, args[0])
				if err != nil {
					return err
				}
				return env.printLink(cmd.Context(), s, g, staff)
			})
		}}
}

// printLink makes a link for a staff member and prints it alone. If the address of the
// portal is not known, it prints the token, which the page of the link takes as well.
func (env *environment) printLink(ctx context.Context, s *system, g *access.Gate, staff access.Staff) error {
	made, err := g.InviteStaff(ctx, operator(), staff.ID)
	if err != nil {
		return err
	}
	out := linkJSON{ID: staff.ID, Token: made.Token}
	if public := s.publicURL(); public != "" {
		out.Link = letter.Link(public, made)
	}
	return env.say(out, "%s", cmp.Or(out.Link, out.Token))
}

// linkJSON is a link in --json.
type linkJSON struct {
	ID    string `json:"id"` // of the staff member
	Token string `json:"token"`
	Link  string `json:"link,omitempty"` // if the address of the portal is known
}

// staffNamed returns the staff member with an e-mail address or an id.
func staffNamed(ctx context.Context, g *access.Gate, name string) (access.Staff, error) {
	if strings.Contains(name, "@") {
		return g.StaffByEmail(ctx, name)
	}
	return g.StaffByID(ctx, name)
}

func (env *environment) staffEdit() *cobra.Command {
	var name, email string
	c := &cobra.Command{Use: "change EMAIL|ID", Short: "Change the name or the e-mail address of a staff member", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var change access.StaffChange
			if cmd.Flags().Changed("name") {
				change.Name = &name
			}
			if cmd.Flags().Changed("email") {
				change.Email = &email
			}
			if change == (access.StaffChange{}) {
				return usageError{errors.New("give --name, --email or both")}
			}
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				s, err := staffNamed(ctx, g, args[0])
				if err != nil {
					return err
				}
				former, err := g.ChangeStaff(ctx, operator(), s.ID, change)
				if err != nil {
					return err
				}
				if s, err = g.StaffByID(ctx, s.ID); err != nil {
					return err
				}
				text := "the staff account %s is of %s, who signs in with %s"
				if former != "" {
					text += ". Their sessions have ended. No e-mail tells the former address: tell them yourself"
				}
				return env.say(staffOut(g, s), text, s.ID, s.Name, s.Email)
			})
		}}
	c.Flags().StringVar(&name, "name", "", "the new name")
	c.Flags().StringVar(&email, "email", "", "the new e-mail address")
	return c
}

func (env *environment) staffChange(use, short string, change func(*access.Gate, context.Context, string, string, ...policy.Permission) error) *cobra.Command {
	return &cobra.Command{Use: use + " EMAIL|ID PERMISSION…", Short: short, Long: short + "\n\n" + permissionsHelp(), Args: cobra.MinimumNArgs(2), ValidArgsFunction: completePermissions,
		RunE: func(cmd *cobra.Command, args []string) error {
			permissions, err := parsePermissions(args[1:])
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				s, err := staffNamed(ctx, g, args[0])
				if err != nil {
					return err
				}
				if err := change(g, ctx, operator(), s.ID, permissions...); err != nil {
					return err
				}
				if s, err = g.StaffByID(ctx, s.ID); err != nil {
					return err
				}
				return env.say(staffOut(g, s), "%s holds: %s", s.Email, joined(s.Permissions))
			})
		}}
}

func (env *environment) staffSwitch(use, short string, change func(*access.Gate, context.Context, string, string) error, done string) *cobra.Command {
	return &cobra.Command{Use: use + " EMAIL|ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				s, err := staffNamed(ctx, g, args[0])
				if err != nil {
					return err
				}
				if err := change(g, ctx, operator(), s.ID); err != nil {
					return err
				}
				if s, err = g.StaffByID(ctx, s.ID); err != nil {
					return err
				}
				return env.say(staffOut(g, s), "%s %s", s.Email, done)
			})
		}}
}

func (env *environment) staffList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List staff", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.withGate(cmd.Context(), func(_ *system, g *access.Gate) error {
				all, err := g.ListStaff(cmd.Context())
				if err != nil {
					return err
				}
				out := make([]staffJSON, len(all))
				for i, s := range all {
					out[i] = staffOut(g, s)
				}
				if env.json {
					return env.say(out, "")
				}
				w := newTable(env.out)
				for _, s := range out {
					holds := joined(s.Permissions)
					if s.Linked {
						holds += "; linked to the organisation"
					}
					if s.State != access.StaffActive {
						holds = strings.ReplaceAll(string(s.State), "_", " ") + "; " + holds
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.Email, s.Name, holds)
				}
				return w.Flush()
			})
		}}
}

func (env *environment) withGate(ctx context.Context, f func(*system, *access.Gate) error) error {
	return env.with(ctx, func(s *system) error {
		g, err := s.gate()
		if err != nil {
			return err
		}
		return f(s, g)
	})
}

func parsePermissions(names []string) ([]policy.Permission, error) {
	var all []policy.Permission
	for _, name := range names {
		for _, one := range strings.Split(name, ",") {
			p, err := policy.ParsePermission(strings.TrimSpace(one))
			if err != nil {
				return nil, usageError{err}
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// joined lists permissions by their values.
func joined(permissions []policy.Permission) string {
	return cmp.Or(policy.Join(permissions), "no permission")
}

// permissionsHelp lists the permissions for the help of a verb that takes them.
func permissionsHelp() string {
	var b strings.Builder
	b.WriteString("Permissions:\n")
	w := newTable(&b)
	for _, grant := range policy.Grants {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", grant.Permission, strings.TrimSpace(labels.Default().Fill(grant.Allows+" "+grant.Caution)))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// readSecret reads one line from standard input.
func (env *environment) readSecret() (string, error) {
	line, err := bufio.NewReader(env.in).ReadString('\n')
	secret := strings.TrimRight(line, "\r\n")
	if secret == "" {
		return "", errors.Join(errors.New("there is no password on standard input"), err)
	}
	return secret, nil
}

// require makes flags mandatory. A missing one is a usage error.
func require(c *cobra.Command, flags ...string) {
	c.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range flags {
			if !cmd.Flags().Changed(name) {
				return usageError{fmt.Errorf("%s needs --%s", cmd.CommandPath(), name)}
			}
		}
		return nil
	}
}
