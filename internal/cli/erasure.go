package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/eventlog/facts"
	"postern/internal/record/retention"
)

// erasureCommand requests, withdraws and lists erasures. Only signed-in staff can approve one,
// because two people may share an account on a machine.
func (env *environment) erasureCommand() *cobra.Command {
	return group("erasure", "Erasure of the content of messages, which takes two people",
		env.erasureRequest(), env.erasureWithdraw(), env.erasureList())
}

// erasureJSON is an erasure as --json prints one.
type erasureJSON struct {
	ID          uuid.UUID  `json:"id"`
	MessageID   uuid.UUID  `json:"message_id"`
	Status      string     `json:"status"`
	Reason      string     `json:"reason"`
	RequestedBy string     `json:"requested_by"`
	RequestedAt time.Time  `json:"requested_at"`
	SettledBy   *string    `json:"settled_by"`
	SettledAt   *time.Time `json:"settled_at"`
	Early       bool       `json:"early"`
}

func erasureOut(e retention.Erasure) erasureJSON {
	return erasureJSON{e.ID, e.MessageID, e.Status, e.Reason, e.RequestedBy, e.RequestedAt, e.SettledBy, e.SettledAt, e.Early}
}

func (env *environment) erasureRequest() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "request MESSAGE", Short: "Request that the content of a message is destroyed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the id of a message", args[0])}
			}
			return env.withKept(cmd.Context(), func(o *retention.Retention) error {
				e, err := o.Request(cmd.Context(), operator(), id, reason)
				if err != nil {
					return err
				}
				return env.say(erasureOut(e), "%s waits for the approval of an administrator, at /record/erasures", e.ID)
			})
		}}
	c.Flags().StringVar(&reason, "reason", "", "the reason; it is recorded word for word")
	require(c, "reason")
	return c
}

func (env *environment) erasureWithdraw() *cobra.Command {
	return &cobra.Command{Use: "withdraw ERASURE", Short: "Withdraw or reject a request", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the id of an erasure", args[0])}
			}
			return env.withKept(cmd.Context(), func(o *retention.Retention) error {
				e, err := o.Withdraw(cmd.Context(), operator(), id)
				if err != nil {
					return err
				}
				return env.say(erasureOut(e), "%s is withdrawn", e.ID)
			})
		}}
}

func (env *environment) erasureList() *cobra.Command {
	var limit int
	c := &cobra.Command{Use: "list", Short: "List erasures, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.withKept(cmd.Context(), func(o *retention.Retention) error {
				found, err := o.List(cmd.Context(), 0, limit)
				if err != nil {
					return err
				}
				out := make([]erasureJSON, len(found))
				for i, e := range found {
					out[i] = erasureOut(e)
				}
				if env.json {
					return env.say(out, "")
				}
				w := newTable(env.out)
				for _, e := range out {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.ID, e.Status, e.MessageID, e.RequestedBy, e.Reason)
				}
				return w.Flush()
			})
		}}
	c.Flags().IntVar(&limit, "limit", 100, "the most to list")
	return c
}

func (env *environment) withKept(ctx context.Context, f func(*retention.Retention) error) error {
	return env.with(ctx, func(s *system) error {
		return f(retention.New(retention.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish, Reached: s.wait}}))
	})
}
