package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"postern/internal/directory/imports"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/outbox"
	"postern/internal/text/number"
)

func (env *environment) importCommand() *cobra.Command {
	csv := &cobra.Command{Use: "csv FILE…", Short: "Import patients.csv, portal_users.csv, links.csv", Args: cobra.MinimumNArgs(1)}
	dry := csv.Flags().Bool("dry-run", false, "show what would change, and every wrong line")
	csv.RunE = func(cmd *cobra.Command, args []string) error {
		files, closeAll, err := openFiles(args)
		if err != nil {
			return err
		}
		defer closeAll()
		return env.importWith(cmd.Context(), "csv", *dry, func(ctx context.Context, s *system, o imports.Options) (imports.Summary, error) {
			return imports.CSV(ctx, s.pool, files, o)
		})
	}
	fhir := &cobra.Command{Use: "fhir DIR", Short: "Import a FHIR R4 bulk export, all of it or what has changed", Args: cobra.ExactArgs(1)}
	domain := fhir.Flags().String("demo-email-domain", "", "give every portal user the address <id>@DOMAIN")
	dryFHIR := fhir.Flags().Bool("dry-run", false, "show what would change, and every wrong line")
	fhir.RunE = func(cmd *cobra.Command, args []string) error {
		if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
			return fmt.Errorf("%s is not a folder: name the folder of the bulk export", args[0])
		}
		return env.importWith(cmd.Context(), "fhir", *dryFHIR, func(ctx context.Context, s *system, o imports.Options) (imports.Summary, error) {
			o.DemoEmailDomain = *domain
			return imports.FHIR(ctx, s.pool, os.DirFS(args[0]), o)
		})
	}
	return group("import", "Import the directory", csv, fhir)
}

type importer func(context.Context, *system, imports.Options) (imports.Summary, error)

func (env *environment) importWith(ctx context.Context, format string, dry bool, run importer) error {
	return env.with(ctx, func(s *system) error {
		bar := env.progress("importing")
		summary, err := run(ctx, s, imports.Options{DryRun: dry, Actor: operator(), Progress: bar.move, MostLines: env.mostLines(), Vacuum: s.vacuum,
			InTx: func(ctx context.Context, tx pgx.Tx, summary imports.Summary) error {
				e, err := summary.Event("/postern", operator(), format, time.Now())
				if err != nil {
					return err
				}
				return outbox.Store(ctx, tx, e)
			}})
		bar.finish()
		if err != nil {
			return err
		}
		if s.stores != nil && !dry {
			if err := s.relayOutbox(ctx); err != nil {
				return err
			}
		}
		if !dry && summary.Changed() {
			if err := env.makeRosters(ctx, s); err != nil {
				env.logger().Warn("the rosters are made later, by the fan-out worker", "reason", err)
			}
		}
		return env.saySummary(summary, dry)
	})
}

// makeRosters makes the rosters of what was imported, if this verb has the content key. Without
// it the fan-out worker makes them.
func (env *environment) makeRosters(ctx context.Context, s *system) error {
	kept, closeStore, err := env.contentStore(ctx, s)
	if err != nil || kept == nil {
		return err
	}
	defer closeStore()
	return rosterstore.New(rosterstore.Config{Pool: s.pool, Content: kept, Vacuum: s.vacuum}).Finish(ctx)
}

// mostLines returns how many wrong lines and warnings are listed: more for a program than for a
// person.
func (env *environment) mostLines() int {
	if env.json {
		return 10_000
	}
	return 100
}

// relayOutbox publishes an import's event immediately if this verb runs the recorder, which
// may otherwise end before it publishes the event.
func (s *system) relayOutbox(ctx context.Context) error {
	return outbox.Relay(ctx, s.pool, s.log.Publish)
}

func (env *environment) saySummary(s imports.Summary, dry bool) error {
	if env.json {
		tally := func(c imports.Changes) changesJSON { return changesJSON{c.New, c.Changed, c.Unchanged} }
		warnings := []warningJSON{}
		for _, w := range s.Warnings {
			warnings = append(warnings, warningJSON{w.File, w.Line, w.Field, w.Reason})
		}
		return env.say(importedJSON{Readdressed: s.Readdressed, DryRun: dry, Links: tally(s.Links), Patients: tally(s.Patients), PortalUsers: tally(s.PortalUsers),
			Resources: tally(s.Resources), WarningCount: s.WarningCount, Warnings: warnings}, "")
	}
	verb := "Imported"
	switch {
	case !s.Changed():
		verb = "Nothing changed: the directory says all of that already."
	case dry:
		verb = "Would import"
	}
	lines := []string{verb}
	for _, row := range []struct {
		name string
		c    imports.Changes
	}{{"patients", s.Patients}, {"portal users", s.PortalUsers}, {"links", s.Links}} {
		if s.Changed() {
			lines = append(lines, fmt.Sprintf("  %-13s %8d new %8d changed %8d unchanged", row.name, row.c.New, row.c.Changed, row.c.Unchanged))
		}
	}
	if s.Readdressed > 0 {
		does := "had their e-mail address changed. They are signed out, and their former addresses are told. For a day, no link to set a password goes to a new address unless it is confirmed: see portal-user confirm-address"
		if dry {
			does = "would have their e-mail address changed. They would be signed out, and their former addresses told. Is that right? A wrong file can hand accounts to other people"
		}
		lines = append(lines, "  WARNING: "+number.Of(s.Readdressed, "person", "people")+" with an account "+does)
	}
	switch named := len(s.Warnings); {
	case s.WarningCount == 1:
		lines = append(lines, "1 warning")
	case s.WarningCount > named:
		lines = append(lines, fmt.Sprintf("%d warnings, the first %d of them", s.WarningCount, named))
	case s.WarningCount > 0:
		lines = append(lines, fmt.Sprintf("%d warnings", s.WarningCount))
	}
	for _, w := range s.Warnings {
		lines = append(lines, "  "+w.String())
	}
	_, err := fmt.Fprintln(env.out, strings.Join(lines, "\n"))
	return err
}

// warningJSON is a warning of an import in --json.
type warningJSON struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

func openFiles(paths []string) ([]imports.File, func(), error) {
	var files []imports.File
	var opened []*os.File
	closeAll := func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}
	for _, path := range paths {
		f, err := os.Open(path) // #nosec G304 -- the operator's path
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("opening the file to import: %w", err)
		}
		opened = append(opened, f)
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			err = errors.New("it is a folder")
		}
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("opening %s: %w", path, err)
		}
		files = append(files, imports.File{Name: path, Size: info.Size(), Content: f})
	}
	return files, closeAll, nil
}
