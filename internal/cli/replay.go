package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
)

func (env *environment) replayCommand() *cobra.Command {
	steer := func(verb, short string, do func(context.Context, *replay.Replays, uuid.UUID) (replay.Replay, error)) *cobra.Command {
		return env.onReplay(&cobra.Command{Use: verb + " ID", Short: short}, do)
	}
	return group("replay", "Repeat alerts that failed or whose result is unknown",
		env.replayPlan(), env.replayStart(),
		steer("status", "Show the progress of a replay", func(ctx context.Context, b *replay.Replays, id uuid.UUID) (replay.Replay, error) {
			return b.Get(ctx, id)
		}),
		steer("pause", "Pause a replay", func(ctx context.Context, b *replay.Replays, id uuid.UUID) (replay.Replay, error) {
			return b.Pause(ctx, operator(), id)
		}),
		steer("resume", "Resume a replay", func(ctx context.Context, b *replay.Replays, id uuid.UUID) (replay.Replay, error) {
			return b.Resume(ctx, operator(), id)
		}),
		steer("cancel", "Cancel a replay, before or after its start", func(ctx context.Context, b *replay.Replays, id uuid.UUID) (replay.Replay, error) {
			return b.Cancel(ctx, operator(), id)
		}))
}

func (env *environment) replayPlan() *cobra.Command {
	var message, from, to, why string
	var states []string
	var f replay.Filter
	c := &cobra.Command{Use: "plan", Short: "Show and freeze the alerts that a replay would repeat", Args: cobra.NoArgs,
		Long: "Freezes the alerts that failed or whose result is unknown, and prints what repeating them would do.\n" +
			"Nothing is sent before `postern replay start ID`.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var wrong []error
			if message != "" {
				id, err := uuid.Parse(message)
				if err != nil {
					wrong = append(wrong, fmt.Errorf("--message %q is not the id of a message", message))
				} else {
					f.MessageID = &id
				}
			}
			for _, one := range []struct {
				name, text string
				at         **time.Time
			}{{"from", from, &f.From}, {"to", to, &f.To}} {
				if one.text == "" {
					continue
				}
				at, err := time.Parse(time.RFC3339, one.text)
				if err != nil {
					wrong = append(wrong, fmt.Errorf("--%s %q is not a time, as 2026-03-01T12:00:00Z", one.name, one.text))
					continue
				}
				*one.at = &at
			}
			for _, s := range states {
				f.State = append(f.State, events.AlertState(s))
			}
			if err := replay.Check(f, why); err != nil {
				wrong = append(wrong, err)
			}
			if len(wrong) > 0 {
				return usageError{errors.Join(wrong...)}
			}
			return env.with(cmd.Context(), func(s *system) error {
				r, err := s.replays().Plan(cmd.Context(), operator(), f, why)
				if err != nil {
					return err
				}
				return env.sayReplay(r)
			})
		}}
	flags := c.Flags()
	flags.StringVar(&message, "message", "", "only alerts of this message")
	flags.StringSliceVar(&states, "state", nil, "failed, unknown (default both)")
	flags.StringArrayVar(&f.Reasons, "failed-because", nil, "only alerts with exactly this reason; repeat it for several")
	flags.StringSliceVar(&f.PortalUserIDs, "portal-user", nil, "only alerts of these portal users")
	flags.StringVar(&from, "from", "", "only alerts with an outcome at this time or later (RFC 3339)")
	flags.StringVar(&to, "to", "", "only alerts with an outcome before this time")
	flags.StringVar(&f.Domain, "domain", "", "only alerts to addresses at this domain")
	flags.StringVar(&why, "reason", "", "the reason for the replay; it is recorded")
	require(c, "reason")
	return c
}

func (env *environment) replayStart() *cobra.Command {
	var rate int
	c := env.onReplay(&cobra.Command{Use: "start ID", Short: "Start a planned replay",
		Long: "Makes the notify workers repeat the alerts of a plan. A second start has no effect."},
		func(ctx context.Context, b *replay.Replays, id uuid.UUID) (replay.Replay, error) {
			return b.Start(ctx, operator(), id, rate)
		})
	c.Flags().IntVar(&rate, "rate", 0, "alerts a minute; 0 is as fast as SendGrid accepts them")
	return c
}

// onReplay makes a verb that calls do for one replay.
func (env *environment) onReplay(c *cobra.Command, do func(context.Context, *replay.Replays, uuid.UUID) (replay.Replay, error)) *cobra.Command {
	c.Args = cobra.ExactArgs(1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := uuid.Parse(args[0])
		if err != nil {
			return usageError{fmt.Errorf("%q is not the id of a replay", args[0])}
		}
		return env.with(cmd.Context(), func(s *system) error {
			r, err := do(cmd.Context(), s.replays(), id)
			if err != nil {
				return err
			}
			return env.sayReplay(r)
		})
	}
	return c
}

func (s *system) replays() *replay.Replays {
	return replay.New(replay.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish, Reached: s.wait}})
}

// replayJSON is a replay in --json.
type replayJSON struct {
	ID            uuid.UUID      `json:"id"`
	Status        string         `json:"status"`
	Filter        replay.Filter  `json:"filter"`
	Reason        string         `json:"reason"`
	Count         int            `json:"count"`
	Digest        string         `json:"digest"`
	ByReason      map[string]int `json:"by_reason"`
	Opened        int            `json:"opened"`
	Undeliverable int            `json:"undeliverable"`
	Excluded      map[string]int `json:"excluded"`
	Oldest        *time.Time     `json:"oldest"`
	Newest        *time.Time     `json:"newest"`
	Rate          int            `json:"rate"`
	Total         int            `json:"total"`
	Done          int            `json:"done"`
	Accepted      int            `json:"accepted"`
	Failed        int            `json:"failed"`
	Skipped       int            `json:"skipped"`
	Unknown       int            `json:"unknown"`
	LeftOut       int            `json:"left_out"`
	// As in the API, these two are not on the record.
	LeftOutBy map[string]int `json:"left_out_by"`
	Held      []pause.Hold   `json:"held_by"`
}

func (env *environment) sayReplay(r replay.Replay) error {
	if env.json {
		return env.say(replayJSON{r.ID, string(r.Status), r.Filter, r.Reason, r.Count, r.Digest, r.ByReason, r.Opened(), r.Undeliverable(), r.Excluded,
			r.Oldest, r.Newest, r.Rate, r.Count, r.Done(), r.Accepted, r.Failed, r.Skipped, r.Unknown, r.LeftOut,
			r.LeftOutBy, append([]pause.Hold{}, r.Held...)}, "")
	}
	w := newTable(env.out)
	line := func(name string, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	line("replay", "%s", r.ID)
	line("status", "%s", r.Status)
	for _, h := range r.Held {
		line("  "+pause.ReasonPaused, "%d: %s", h.Alerts, h)
	}
	line("reason", "%s", strings.Join(strings.Fields(r.Reason), " "))
	line("alerts", "%d", r.Count)
	tally := func(name string, counts map[string]int) {
		for _, why := range slices.Sorted(maps.Keys(counts)) {
			line("  "+name, "%d: %s", counts[why], why)
		}
	}
	tally("failed or unknown", r.ByReason)
	tally("left out", r.Excluded)
	if r.Oldest != nil && r.Newest != nil {
		line("outcomes", "%s to %s", r.Oldest.Format(time.RFC3339), r.Newest.Format(time.RFC3339))
	}
	line("digest", "%s", r.Digest)
	if r.Status != replay.Planned {
		line("done", "%d of %d: %d accepted, %d failed, %d skipped, %d unknown, %d left out", r.Done(), r.Count, r.Accepted, r.Failed, r.Skipped, r.Unknown, r.LeftOut)
		tally("left out since the plan", r.LeftOutBy)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Status == replay.Planned {
		return env.say(nil, "No alert has been sent. Run `postern replay start %s` to repeat them.", r.ID)
	}
	return nil
}
