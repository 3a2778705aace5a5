package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/clinic/clinicstore"
	"postern/internal/config"
	"postern/internal/content/reader"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/labels/labelstore"
	"postern/internal/problem"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/record/bundle"
	"postern/internal/record/certificate"
)

func (env *environment) receiptBundleCommand() *cobra.Command {
	q := bundle.Request{Actor: operator(), MayRead: true}
	var out, basis string
	c := &cobra.Command{Use: "bundle MESSAGE PORTAL_USER", Short: "Hand the evidence of one delivery to a person outside the portal", Args: cobra.ExactArgs(2),
		Long: "Writes a ZIP file with the certificate, the receipt, the clinic's key and how to check them. With --content it\n" +
			"also has the text and the documents. Who gets it and why are recorded first, exactly as you type them, and are in\n" +
			"the accounting of disclosures of each patient whom the message is about.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if q.MessageID, err = uuid.Parse(args[0]); err != nil {
				return usageError{fmt.Errorf("%q is not the id of a message", args[0])}
			}
			if q.PortalUserID, q.Basis = args[1], events.DisclosureBasis(basis); out == "" {
				return usageError{errors.New("--out is needed: the ZIP file to write")}
			}
			if err := q.Check(); err != nil {
				return usageError{flagsOf(err)}
			}
			return env.with(cmd.Context(), func(s *system) error { return env.handOver(cmd.Context(), s, q, out) })
		}}
	c.Flags().StringVar(&q.To, "to", "", "the name of the person or organization that gets it")
	c.Flags().StringVar(&q.Address, "address", "", "their address, if you know it")
	c.Flags().StringVar(&q.Purpose, "purpose", "", "why it is disclosed")
	c.Flags().StringVar(&basis, "basis", string(events.ToOther), "the ground: other, patient, authorization or operations; the accounting must have only other")
	c.Flags().BoolVar(&q.Content, "content", false, "include the text and the documents")
	c.Flags().StringVarP(&out, "out", "o", "", "the ZIP file to write")
	return c
}

// flagsOf names the flags of the fields that are wrong.
func flagsOf(err error) error {
	wrong := problem.Of(err)
	var all []error
	for _, f := range wrong.Faults {
		all = append(all, fmt.Errorf("--%s %s", f.Location[len("body."):], f.Message))
	}
	return errors.Join(all...)
}

// handOver makes the bundle and writes it. The disclosure is recorded before the file is written.
func (env *environment) handOver(ctx context.Context, s *system, q bundle.Request, out string) error {
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	publisher := facts.Publisher{Source: "/postern", Send: s.log.Publish, Reached: s.wait}
	kept, closeStore, err := env.contentStore(ctx, s)
	if err != nil {
		return err
	}
	defer closeStore()
	issue := issuer.Config{Pool: s.pool, Facts: publisher}
	var read *reader.Reader
	if kept != nil {
		read = reader.New(reader.Config{Pool: s.pool, Content: kept})
		issue.Reader = read
		issue.Rosters = rosterstore.New(rosterstore.Config{Pool: s.pool, Content: kept})
		issue.Entries = entrykey.Opens(s.pool, kept)
	}
	certificates := certificate.New(certificate.Config{Pool: s.pool, Receipts: issuer.New(issue), Reader: read, Clinic: clinicstore.New(clinicstore.Config{Pool: s.pool, Name: config.ClinicName(os.Environ())}).Name})
	made, err := bundle.New(bundle.Config{Pool: s.pool, Certificates: certificates, Reader: read, Facts: publisher,
		Labels: labelstore.New(labelstore.Config{Pool: s.pool}).Chosen}).HandOver(ctx, q)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, made.Data, 0o600); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return env.say(bundleJSON{out, made.Digest, made.Seq}, "wrote %s (%s). The disclosure is event %d of the record.", out, made.Digest, made.Seq)
}
