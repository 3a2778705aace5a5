package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/eventlog/facts"
	"postern/internal/problem"
	"postern/internal/record/accounting"
	"postern/internal/record/query"
	"postern/internal/text/zone"
)

func (env *environment) recordDisclosuresCommand() *cobra.Command {
	var from, to, out string
	c := &cobra.Command{Use: "disclosures PATIENT", Short: "Account for the disclosures of one patient", Args: cobra.ExactArgs(1),
		Long: "Lists to whom information about the patient went, when, what and why, as 45 CFR 164.528 wants it, in a period\n" +
			"of at most six years. Those that the accounting need not have say why. Reading it is recorded.",
		RunE: func(cmd *cobra.Command, args []string) error {
			accounts := accounting.New(accounting.Config{Now: zone.Now})
			if _, err := accounts.Period(from, to); err != nil {
				var all []error
				for _, f := range problem.Of(err).Faults {
					all = append(all, fmt.Errorf("--%s %s", f.Location[len("query."):], f.Message))
				}
				return usageError{errors.Join(all...)}
			}
			return env.with(cmd.Context(), func(s *system) error { return env.account(cmd.Context(), s, args[0], from, to, out) })
		}}
	c.Flags().StringVar(&from, "from", "", "the first day, as 2026-01-31 (default: six years before the last)")
	c.Flags().StringVar(&to, "to", "", "the last day (default: today)")
	c.Flags().StringVarP(&out, "out", "o", "", "write a CSV file")
	return c
}

type accountedJSON struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	To      string    `json:"to"`
	Address string    `json:"address"`
	What    string    `json:"what"`
	Purpose string    `json:"purpose"`
	Exempt  string    `json:"exempt"`
}

func (env *environment) account(ctx context.Context, s *system, patient, from, to, out string) error {
	record := query.New(query.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish}})
	accounts := accounting.New(accounting.Config{Pool: s.pool, Record: record, Now: zone.Now})
	period, err := accounts.Period(from, to)
	if err != nil {
		return err
	}
	found, err := accounts.Of(ctx, query.Actor(operator()), patient, period)
	if err != nil {
		return err
	}
	if out != "" {
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the user's own file
		if err != nil {
			return fmt.Errorf("writing the accounting: %w", err)
		}
		if err := errors.Join(found.WriteCSV(f), f.Close()); err != nil {
			return err
		}
		return env.say(accountingFileJSON{out, len(found.Rows)}, "wrote %s: %d rows", out, len(found.Rows))
	}
	rows := make([]accountedJSON, len(found.Rows))
	for i, r := range found.Rows {
		rows[i] = accountedJSON{r.Seq, r.Time.UTC(), r.To, r.Address, r.What, r.Purpose, r.Exempt}
	}
	if env.json {
		return env.say(accountingJSON{found.PatientID, period.First.Format(time.DateOnly), period.Last.Format(time.DateOnly), rows}, "")
	}
	w := newTable(env.out)
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Time.Format(time.RFC3339), r.To, r.What, r.Purpose, r.Exempt) // Flush returns the error
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the accounting: %w", err)
	}
	return nil
}
