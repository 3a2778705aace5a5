package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/access"
	"postern/internal/access/policy"
)

// grantJSON is a request for a permission in --json.
type grantJSON struct {
	ID          uuid.UUID         `json:"id"`
	StaffID     string            `json:"staff_id"`
	Name        string            `json:"name"` // of the staff member
	Permission  policy.Permission `json:"permission"`
	State       access.GrantState `json:"state"`
	Because     string            `json:"because"`
	RequestedBy string            `json:"requested_by"`
	RequestedAt time.Time         `json:"requested_at"`
	ExpiresAt   time.Time         `json:"expires_at"`
	SettledBy   *string           `json:"settled_by"`
	SettledAt   *time.Time        `json:"settled_at"`
}

func grantOut(r access.GrantRequest) grantJSON {
	return grantJSON{r.ID, r.StaffID, r.StaffName, r.Permission, r.State, string(r.Because), r.RequestedBy, r.RequestedAt, r.ExpiresAt, r.SettledBy, r.SettledAt}
}

func (env *environment) staffGrants() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "grants", Short: "List permissions that wait for a second person", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				found, err := g.OpenGrants(ctx)
				if all {
					found, err = g.ListGrants(ctx, 0, 500)
				}
				if err != nil {
					return err
				}
				out := make([]grantJSON, len(found))
				for i, r := range found {
					out[i] = grantOut(r)
				}
				if env.json {
					return env.say(out, "")
				}
				w := newTable(env.out)
				for _, r := range out {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.State, r.Permission, r.Name, r.RequestedBy)
				}
				return w.Flush()
			})
		}}
	c.Flags().BoolVar(&all, "all", false, "list the latest 500, also those that were settled")
	return c
}

func (env *environment) grantSettle(verb, short, done string, settle func(*access.Gate, context.Context, string, uuid.UUID) (access.GrantRequest, error)) *cobra.Command {
	return &cobra.Command{Use: verb + " REQUEST", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the id of a request: `postern staff grants` lists them", args[0])}
			}
			ctx := cmd.Context()
			return env.withGate(ctx, func(_ *system, g *access.Gate) error {
				r, err := settle(g, ctx, operator(), id)
				if err != nil {
					return err
				}
				return env.say(grantOut(r), "%s %s the permission %s", r.StaffName, done, r.Permission)
			})
		}}
}
