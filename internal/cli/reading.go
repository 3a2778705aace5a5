package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/record/export"
	"postern/internal/record/query"
)

func (env *environment) recordCommand() *cobra.Command {
	return group("record", "Read and export the record", env.recordTail(), env.recordExport(), env.recordDisclosuresCommand())
}

// filterFlags are the filters of /v1/record.
type filterFlags struct{ message, portalUser, patient, kind, actor, from, to string }

func (f *filterFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.message, "message-id", "", "only events about this message")
	flags.StringVar(&f.portalUser, "portal-user-id", "", "only events about this portal user")
	flags.StringVar(&f.patient, "patient-id", "", "only events about deliveries on this patient's account")
	flags.StringVar(&f.kind, "type", "", "only events of this type, for example message.sent")
	flags.StringVar(&f.actor, "actor", "", "only events by this actor: staff:ID, portal_user:ID, process:NAME, operator:NAME")
	flags.StringVar(&f.from, "from", "", "only events at this time or later, for example 2026-01-31T09:30:00Z")
	flags.StringVar(&f.to, "to", "", "only events before this time")
	// Also accept the API's names, with underscores.
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
}

func (f *filterFlags) filter() (chosen query.Filter, err error) {
	chosen = query.Filter{PortalUserID: f.portalUser, PatientID: f.patient, Type: events.Type(f.kind), Actor: f.actor}
	if f.message != "" {
		if chosen.MessageID, err = uuid.Parse(f.message); err != nil {
			return chosen, usageError{fmt.Errorf("--message-id %q is not the id of a message", f.message)}
		}
	}
	for _, limit := range []struct {
		name, text string
		to         *time.Time
	}{{"from", f.from, &chosen.From}, {"to", f.to, &chosen.To}} {
		if limit.text == "" {
			continue
		}
		if *limit.to, err = time.Parse(time.RFC3339, limit.text); err != nil {
			return chosen, usageError{fmt.Errorf("--%s %q is not a time such as 2026-01-31T09:30:00Z", limit.name, limit.text)}
		}
	}
	return chosen, nil
}

// recordReader returns a reader of the record. Its readings are recorded with the operator as
// the actor.
func (s *system) recordReader() *query.Reader {
	return query.New(query.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish}})
}

// entryJSON is an event in --json, like in /v1/record.
type entryJSON struct {
	Seq       uint64      `json:"seq"`
	ID        uuid.UUID   `json:"id"`
	Type      events.Type `json:"type"`
	Time      time.Time   `json:"time"`
	Actor     string      `json:"actor"`
	MessageID *uuid.UUID  `json:"message_id"`
	Summary   string      `json:"summary"`
}

func (env *environment) sayEntry(e query.Entry) error {
	out := entryJSON{Seq: e.Seq, ID: e.ID, Type: e.Type, Time: e.Time, Actor: e.Actor, Summary: e.Summary}
	if e.MessageID != uuid.Nil {
		out.MessageID = &e.MessageID
	}
	return env.say(out, "%8d  %s  %-22s  %s  (%s)", e.Seq, e.Time.Format("2006-01-02 15:04:05"), e.Type, e.Summary, e.Actor)
}

func (env *environment) recordTail() *cobra.Command {
	var flags filterFlags
	var lines int
	c := &cobra.Command{Use: "tail", Short: "Show the last events of the record and follow new ones, until Ctrl-C", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := flags.filter()
			if err != nil {
				return err
			}
			if lines < 0 || lines > 500 {
				return usageError{errors.New("--lines must be 0 to 500")}
			}
			ctx := cmd.Context()
			return env.with(ctx, func(s *system) error { return env.tail(ctx, s, filter, lines) })
		}}
	flags.add(c)
	c.Flags().IntVarP(&lines, "lines", "n", 10, "how many of the last events to show first")
	return c
}

func (env *environment) tail(ctx context.Context, s *system, f query.Filter, lines int) error {
	tail, last, err := s.recordReader().Tail(ctx, query.Actor(operator()), f, lines)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(last) {
		if err := env.sayEntry(e); err != nil {
			return err
		}
	}
	for {
		changed := s.position.Changed() // before the reading, so that no change is missed
		err := tail.Next(ctx, func(w *query.FullEvent) error { return env.sayEntry(w.Entry) })
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (env *environment) recordExport() *cobra.Command {
	var flags filterFlags
	var name, out string
	c := &cobra.Command{Use: "export", Short: "Export the events that match the filters to a file, with a manifest", Args: cobra.NoArgs,
		Long: "Writes FILE and, when it is complete, FILE.manifest.json with the number of events, the SHA-256 of the\n" +
			"file and the latest checkpoint. Neither file may exist already. Your export is recorded.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := flags.filter()
			if err != nil {
				return err
			}
			format, err := export.ParseFormat(name)
			if err != nil {
				return usageError{fmt.Errorf("--format %w", err)}
			}
			ctx := cmd.Context()
			return env.with(ctx, func(s *system) error { return env.export(ctx, s, filter, format, out) })
		}}
	flags.add(c)
	c.Flags().StringVar(&name, "format", "", "csv, ndjson (the events as stored) or fhir (R4, NDJSON)")
	c.Flags().StringVar(&out, "out", "", "the file to write")
	require(c, "format", "out")
	return c
}

// manifestJSON is the content of FILE.manifest.json, like in /v1/record/exports/{id}.
type manifestJSON struct {
	events.RecordExported
	Seq uint64    `json:"seq"`
	By  string    `json:"by"`
	At  time.Time `json:"at"`
}

func (env *environment) export(ctx context.Context, s *system, f query.Filter, format export.Format, out string) (err error) {
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the operator's path
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s already exists and was not changed: name another file", out)
	}
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	// After an error, remove the file, so that a part of an export is not used as a whole one.
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(out))
		}
	}()
	begun, err := export.New(s.recordReader(), s.pool).Start(ctx, query.Actor(operator()), f, format)
	if err != nil {
		return err
	}
	m, err := begun.Write(ctx, file)
	if err != nil {
		return err
	}
	if err := s.wait(ctx, m.Seq); err != nil {
		return err
	}
	manifest := manifestJSON{m.RecordExported, m.Seq, m.By, m.At}
	text, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	if err := os.WriteFile(out+".manifest.json", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return env.say(manifest, "exported %d events in %d rows to %s; its manifest is %s.manifest.json", m.Events, m.Rows, out, out)
}
