package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/process/up"
	"postern/internal/recorder/damage"
	"postern/internal/recorder/rebuild"
)

func (env *environment) rebuildCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{Use: "rebuild", Short: "Rebuild all projected tables from the record", Args: cobra.NoArgs,
		Long: "Replays the record into new tables, which then replace the existing ones. With --check it replaces\n" +
			"nothing: it compares all tables, prints a digest of each, and exits 1 on any difference.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return env.with(ctx, func(s *system) error {
				bar := env.progress("replaying")
				r := &rebuild.Rebuild{Log: s.log, Pool: s.pool, Progress: bar.to}
				if !check {
					reached, err := r.Replace(ctx)
					bar.finish()
					if err != nil {
						return err
					}
					return env.say(rebuiltJSON{reached}, "rebuilt from %d events", reached)
				}
				compared, err := r.Check(ctx)
				bar.finish()
				if err != nil {
					return err
				}
				return env.sayCompared(compared)
			})
		}}
	c.Flags().BoolVar(&check, "check", false, "compare only")
	return c
}

func (env *environment) sayCompared(compared []rebuild.Compared) error {
	same := true
	for _, c := range compared {
		same = same && c.Same()
	}
	if env.json {
		if err := env.say(comparedJSON{same, compared}, ""); err != nil {
			return err
		}
	} else {
		w := newTable(env.out)
		for _, c := range compared {
			verdict := "same"
			if !c.Same() {
				verdict = "DIFFERS: rebuilt " + c.Rebuilt
			}
			_, _ = fmt.Fprintf(w, "%s\t%d rows\t%s\t%s\n", c.Table, c.Rows, c.Digest, verdict)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if !same {
		return errDoesNotHold
	}
	return nil
}

func (env *environment) repairCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{Use: "repair", Short: "Restore a damaged stream from the copy in Postgres, sequence for sequence", Args: cobra.NoArgs,
		Long: "Compares every event of the stream with the copy, and restores the stream if they differ. With --check\n" +
			"it restores nothing, and exits 1 on any difference. Before a repair, stop all processes that publish: for\n" +
			"the embedded system, `postern up`; otherwise, every process.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			repair := func(s *system) error { return env.repair(cmd.Context(), s, check) }
			if check {
				return env.with(cmd.Context(), repair)
			}
			return env.with(cmd.Context(), repair, up.NATS) // an empty stream replaces a lost one
		}}
	c.Flags().BoolVar(&check, "check", false, "compare only")
	return c
}

func (env *environment) repair(ctx context.Context, s *system, checkOnly bool) error {
	report, err := damage.CheckAll(ctx, s.log, s.pool)
	if err != nil {
		return err
	}
	if checkOnly || report.OK() {
		if err := env.say(report, "%s", report); err != nil {
			return err
		}
		if !report.OK() {
			return errDoesNotHold
		}
		return nil
	}
	if !env.json {
		_, _ = fmt.Fprintln(env.out, report)
	}
	if s.stores == nil && s.folder != nil {
		return errors.New("the embedded system is running: stop `postern up`, then run `postern repair` again")
	}
	bar := env.progress("restoring")
	r := &damage.Repair{Pool: s.pool, Log: s.log, Progress: bar.to, Empty: func(ctx context.Context) (*eventlog.Log, error) {
		return env.emptyStream(ctx, s)
	}}
	done, err := r.Run(ctx)
	bar.finish()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("restored %d events from the copy and kept %d beyond it", done.Restored, done.Tail)
	for _, lost := range done.Lost {
		text += fmt.Sprintf("\nLOST: %s and stood in no copy", lost)
	}
	return env.say(done, "%s", text)
}

// emptyStream replaces the damaged stream with an empty one. With the embedded NATS it renames
// the folder of the damaged stream; with another NATS it deletes the stream.
func (env *environment) emptyStream(ctx context.Context, s *system) (*eventlog.Log, error) {
	if s.stores == nil {
		return s.log, s.log.Recreate(ctx)
	}
	s.log.Close()
	if err := s.stores.EmptyStream(ctx, env.logger()); err != nil {
		return nil, err
	}
	log, err := eventlog.Connect(ctx, eventlog.Config{URL: s.stores.NATSURLs[events.Admin], Name: "postern", Logger: env.logger()})
	s.log = log
	return log, err
}
