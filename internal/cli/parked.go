package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/parked"
)

// maxListed is the most parked events that a verb lists.
const maxListed = 500

func (env *environment) parkedCommand() *cobra.Command {
	return group("parked", "Events that no worker could handle",
		env.parkedList(), env.parkedShow(), env.parkedRetry(), env.parkedDiscard())
}

func (s *system) parked() *parked.Events {
	return parked.New(parked.Config{Pool: s.pool, Get: s.log.Get, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish}})
}

func (env *environment) parkedList() *cobra.Command {
	var all bool
	var kind string
	c := &cobra.Command{Use: "list", Short: "List parked events, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.with(cmd.Context(), func(s *system) error {
				found, err := s.parked().List(cmd.Context(), parked.Query{All: all, Type: kind, Limit: maxListed})
				if err != nil {
					return err
				}
				return env.sayParked(found)
			})
		}}
	c.Flags().BoolVar(&all, "all", false, "also list handled and discarded events")
	c.Flags().StringVar(&kind, "type", "", "only events of this type")
	return c
}

func (env *environment) sayParked(found []parked.Event) error {
	if env.json {
		if found == nil {
			found = []parked.Event{}
		}
		return env.say(found, "")
	}
	if len(found) == 0 {
		return env.say(nil, "nothing is parked")
	}
	w := newTable(env.out)
	for _, e := range found {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\tevent %d\t%s\t%d tries\t%s\n", e.ID, e.State, e.Consumer, e.Seq, e.Type, e.Tries, e.Reason)
	}
	return w.Flush()
}

func (env *environment) parkedShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show a parked event: the reason, the place, and the stored event", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return env.with(cmd.Context(), func(s *system) error {
				found, err := s.parked().Find(cmd.Context(), ids[0])
				if err != nil {
					return err
				}
				stored, err := s.parked().Stored(cmd.Context(), found)
				if err != nil {
					return err
				}
				if env.json {
					return env.say(parkedEventJSON{found, stored.Subject, stored.Header, string(stored.Data)}, "")
				}
				if err := env.sayParked([]parked.Event{found}); err != nil {
					return err
				}
				if found.Stack != "" {
					_, _ = fmt.Fprintf(env.out, "\n%s\n", strings.TrimSpace(found.Stack))
				}
				_, err = fmt.Fprintf(env.out, "\n%s\n%v\n%s\n", stored.Subject, stored.Header, stored.Data)
				return err
			})
		}}
}

func (env *environment) parkedRetry() *cobra.Command {
	var kind, reason string
	c := &cobra.Command{Use: "retry ID… | --all-of TYPE", Short: "Retry parked events, or all of a type",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			if (len(ids) == 0) == (kind == "") {
				return usageError{errors.New("postern parked retry needs ids, or --all-of TYPE, and not both")}
			}
			return env.with(cmd.Context(), func(s *system) error {
				if kind != "" {
					n, seq, err := s.parked().RetryAll(cmd.Context(), operator(), kind, reason)
					return env.settled(cmd.Context(), s, "retried", n, seq, err)
				}
				return env.eachParked(cmd.Context(), s, "retried", ids, func(ctx context.Context, id uuid.UUID) (uint64, error) {
					return s.parked().Retry(ctx, operator(), id, reason)
				})
			})
		}}
	c.Flags().StringVar(&kind, "all-of", "", "all events of this type, for example message.sent")
	c.Flags().StringVar(&reason, "reason", "", "the reason, to be recorded")
	return c
}

func (env *environment) parkedDiscard() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "discard ID…", Short: "Discard parked events, with a reason", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			if strings.TrimSpace(reason) == "" {
				return usageError{errors.New("--reason can't be blank")}
			}
			return env.with(cmd.Context(), func(s *system) error {
				return env.eachParked(cmd.Context(), s, "discarded", ids, func(ctx context.Context, id uuid.UUID) (uint64, error) {
					return s.parked().Discard(ctx, operator(), id, reason)
				})
			})
		}}
	c.Flags().StringVar(&reason, "reason", "", "the reason; it is recorded")
	require(c, "reason")
	return c
}

// eachParked calls decide for each parked event, and stops at the first error.
func (env *environment) eachParked(ctx context.Context, s *system, verdict string, ids []uuid.UUID, decide func(context.Context, uuid.UUID) (uint64, error)) error {
	var last uint64
	for _, id := range ids {
		seq, err := decide(ctx, id)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		last = max(last, seq)
	}
	return env.settled(ctx, s, verdict, len(ids), last, nil)
}

func (env *environment) settled(ctx context.Context, s *system, verdict string, n int, seq uint64, err error) error {
	if err != nil {
		return err
	}
	if err := s.wait(ctx, seq); err != nil {
		return err
	}
	return env.say(settledJSON{verdict: n}, "%d %s", n, verdict)
}

func parseIDs(args []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = uuid.Parse(arg); err != nil {
			return nil, usageError{fmt.Errorf("%q is not the id of a parked event, which `postern parked list` gives", arg)}
		}
	}
	return ids, nil
}
