package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/events"
)

func (env *environment) tokenCommand() *cobra.Command {
	return group("token", "API tokens of staff", env.tokenCreate(), env.tokenList(), env.tokenRevoke())
}

// tokenJSON is an API token in --json, without the token itself.
type tokenJSON struct {
	ID          uuid.UUID           `json:"id"`
	StaffID     string              `json:"staff_id"`
	Staff       string              `json:"staff"` // the e-mail address
	Name        string              `json:"name"`
	Scope       string              `json:"scope"`
	Permissions []policy.Permission `json:"permissions"` // that it gives now
	State       string              `json:"state"`
	MadeAt      time.Time           `json:"made_at"`
	ExpiresAt   time.Time           `json:"expires_at"`
	LastUsedAt  *time.Time          `json:"last_used_at"`
}

func tokenOut(t access.Token, owner access.Staff) tokenJSON {
	permissions := append([]policy.Permission{}, t.Permits(owner.Permissions)...)
	return tokenJSON{t.ID, t.StaffID, owner.Email, t.Name, string(t.Scope), permissions, string(t.State), t.MadeAt.UTC(), t.ExpiresAt.UTC(), t.LastUsedAt}
}

// madeTokenJSON is a new token in --json: the only output that has the token itself.
type madeTokenJSON struct {
	Token string `json:"token"`
	tokenJSON
}

func (env *environment) tokenCreate() *cobra.Command {
	var email, expires string
	var permit []string
	n := access.NewToken{}
	c := &cobra.Command{Use: "create", Short: "Make an API token for a staff member and print it", Args: cobra.NoArgs,
		Long: "Make an API token for a staff member and print it. It can't be shown again.\n" +
			"Without --permit the token permits what the staff member may do at the time.\n\n" + permissionsHelp(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if n.Permissions, err = parsePermissions(permit); err != nil {
				return err
			}
			if cmd.Flags().Changed("permit") && len(n.Permissions) == 0 {
				return usageError{errors.New("--permit names no permission: name one, or leave it out for all that the staff member has")}
			}
			if expires != "" {
				lifetime, err := parseLifetime(expires)
				if err != nil {
					return err
				}
				at := time.Now().Add(lifetime)
				n.ExpiresAt = &at
			}
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				owner, err := g.StaffByEmail(ctx, email)
				if err != nil {
					return err
				}
				made, token, err := g.CreateToken(ctx, operator(), owner.ID, n)
				if err != nil {
					return err
				}
				return env.say(madeTokenJSON{token, tokenOut(made, owner)}, "%s", token)
			})
		}}
	c.Flags().StringVar(&email, "staff", "", "e-mail address of the staff member")
	c.Flags().StringVar(&n.Name, "name", "made at the command line", "name by which the staff member recognises it")
	c.Flags().StringSliceVar(&permit, "permit", nil, "permissions, comma-separated")
	c.Flags().StringVar(&expires, "expires", "", "how long it is valid, as 90d or 12h (default 90d)")
	require(c, "staff")
	return c
}

// parseLifetime reads how long a token is valid: days, as 90d, or a duration of Go, as 12h.
func parseLifetime(text string) (time.Duration, error) {
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil // #nosec G115 -- of 16 bits
		}
	}
	lifetime, err := time.ParseDuration(text)
	if err != nil {
		return 0, usageError{fmt.Errorf("--expires %q is not a time span: write days, as 90d, or hours, as 12h", text)}
	}
	return lifetime, nil
}

func (env *environment) tokenList() *cobra.Command {
	var email string
	c := &cobra.Command{Use: "list", Short: "List API tokens, of one staff member or of all, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				staffID := ""
				if email != "" {
					owner, err := g.StaffByEmail(ctx, email)
					if err != nil {
						return err
					}
					staffID = owner.ID
				}
				tokens, err := g.Tokens(ctx, staffID)
				if err != nil {
					return err
				}
				staff, err := g.ListStaff(ctx)
				if err != nil {
					return err
				}
				owners := map[string]access.Staff{}
				for _, s := range staff {
					owners[s.ID] = s
				}
				out := make([]tokenJSON, len(tokens))
				for i, t := range tokens {
					out[i] = tokenOut(t, owners[t.StaffID])
				}
				if env.json {
					return env.say(out, "")
				}
				w := newTable(env.out)
				for _, t := range out {
					used := "never used"
					if t.LastUsedAt != nil {
						used = "last used " + t.LastUsedAt.UTC().Format(time.RFC3339)
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s until %s\t%s\t%s\n", t.ID, cmp.Or(t.Staff, t.StaffID), t.Name, t.State, t.ExpiresAt.Format(time.RFC3339), used, joined(t.Permissions))
				}
				return w.Flush()
			})
		}}
	c.Flags().StringVar(&email, "staff", "", "e-mail address of the staff member")
	return c
}

func (env *environment) tokenRevoke() *cobra.Command {
	return &cobra.Command{Use: "revoke ID", Short: "Revoke an API token: `postern token list` shows the ids", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the id of an API token: `postern token list` shows the ids", args[0])}
			}
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				token, err := g.Token(ctx, id)
				if err != nil {
					return err
				}
				if err := g.RevokeToken(ctx, operator(), token.StaffID, id, events.RevokedByOperator); err != nil {
					return err
				}
				if token, err = g.Token(ctx, id); err != nil {
					return err
				}
				owner, err := g.StaffByID(ctx, token.StaffID)
				if err != nil {
					return err
				}
				return env.say(tokenOut(token, owner), "the token %s does not work any more", id)
			})
		}}
}
