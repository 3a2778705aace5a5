package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/proof/verify"
)

func (env *environment) verifyCommand() *cobra.Command {
	var key, since, outside string
	c := &cobra.Command{Use: "verify", Short: "Verify the whole record with all signed checkpoints", Args: cobra.NoArgs,
		Long: "Walks the stream from the first event: sequences, schemas, hashes against every checkpoint ever signed,\n" +
			"each delivery traced to an audience and a send, each alert to a delivery. It compares Postgres's tables\n" +
			"and copy, and the archive's segments, with the stream. It evaluates the audience of every group again, on the state of\n" +
			"the directory that it cites. It prints the first fault and its place, and exits 1.\n" +
			"If CONTENT_URL and CONTENT_KEY_FILE are set, it also looks for the content of every message that was not\n" +
			"erased, and exits 1 if some is missing.\n\n" +
			"It trusts the keys of --key, else those of CHECKPOINT_KEY_FILE or the data folder, else those that the\n" +
			"database names, and says which.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return env.with(ctx, func(s *system) error {
				v, whose, err := env.verifier(ctx, s, key, since, outside)
				if err != nil {
					return err
				}
				defer func() {
					if v.Archive != nil {
						_ = v.Archive.Close()
					}
					if v.Content != nil {
						_ = v.Content.Close()
					}
				}()
				bar := env.progress("verifying")
				v.Progress = bar.to
				report, err := v.Run(ctx)
				bar.finish()
				if err != nil {
					return err
				}
				return env.sayVerified(report, whose)
			})
		}}
	c.Flags().StringVar(&key, "key", "", "the key that verifies checkpoints, or a file with one key a line")
	c.Flags().StringVar(&since, "since", "", "a checkpoint that was verified before, or a file with one: verify only later events")
	c.Flags().StringVar(&outside, "archive", "", "the address of the archive, instead of ARCHIVE_URL")
	return c
}

// verifier makes the verifier. whose names the source of the trusted keys.
func (env *environment) verifier(ctx context.Context, s *system, key, since, outside string) (v *verify.Verifier, whose string, err error) {
	v = &verify.Verifier{Log: s.log, Pool: s.pool}
	if v.Keys, whose, err = env.verifiers(ctx, s, key); err != nil {
		return nil, "", err
	}
	if since != "" {
		c, err := checkpoint.Open(textOrFile(since), v.Keys)
		if err != nil {
			return nil, "", fmt.Errorf("--since: %w", err)
		}
		v.Since = &c
	}
	if outside == "" {
		outside = env.archiveURL(s)
	}
	if outside != "" {
		if v.Archive, err = archive.Open(ctx, outside); err != nil {
			return nil, "", err
		}
	}
	if v.Content, _, err = env.contentStore(ctx, s); err != nil {
		return nil, "", err
	}
	return v, whose, nil
}

func (env *environment) verifiers(ctx context.Context, s *system, key string) (known *checkpoint.Verifiers, whose string, err error) {
	if key != "" {
		known, err = checkpoint.ParseVerifiers(textOrFile(key))
		if err != nil {
			err = usageError{fmt.Errorf("--key: %w", err)}
		}
		return known, "given", err
	}
	if file := env.checkpointKeyFile(s); file != "" {
		keys, err := checkpoint.ReadKeyFile(file)
		if err != nil {
			return nil, "", err
		}
		known, err = keys.Known()
		return known, "of " + file, err
	}
	text, err := merklestore.CheckpointKeys(ctx, s.pool)
	if errors.Is(err, merklestore.ErrUnsigned) {
		return nil, "", errors.New("this record has no signed checkpoint: set CHECKPOINT_KEY_FILE for the recorder")
	}
	if err != nil {
		return nil, "", err
	}
	known, err = checkpoint.ParseVerifiers(text)
	return known, "named by the database itself: use --key with one that you were given", err
}

// textOrFile returns the content of the file with the name s, or s itself if there is no such
// file.
func textOrFile(s string) string {
	if data, err := os.ReadFile(s); err == nil { // #nosec G304 -- the user's own file
		return string(data)
	}
	return s
}

func (env *environment) sayVerified(r verify.Report, whose string) error {
	if env.json {
		if err := env.say(r, ""); err != nil {
			return err
		}
	} else if err := env.say(nil, "%s", verifiedText(r, whose)); err != nil {
		return err
	}
	if !r.OK || r.Missing > 0 || r.RostersMissing > 0 {
		return errDoesNotHold
	}
	return nil
}

func verifiedText(r verify.Report, whose string) string {
	var b strings.Builder
	if !r.OK {
		fmt.Fprintf(&b, "the record does NOT hold. First: %s\n", r.Faults[0])
		for _, f := range r.Faults[1:] {
			fmt.Fprintf(&b, "then: %s\n", f)
		}
		fmt.Fprintf(&b, "%s\n", r.Advice)
	} else {
		fmt.Fprintf(&b, "the record holds: events %d to %d, %d deliveries\n", r.From, r.To, r.Deliveries)
	}
	fmt.Fprintf(&b, "%d checkpoints and %d segments agree; signed up to event %d; keys %s", r.Checkpoints, r.Segments, r.Signed, whose)
	if r.Missing > 0 {
		fmt.Fprintf(&b, "\nthe content of %d of %d messages is MISSING, though it was not erased; restore the content store from a backup:", r.Missing, r.Contents)
		for _, f := range r.MissingContent {
			fmt.Fprintf(&b, "\n%s", f)
		}
	}
	if r.RostersMissing > 0 {
		fmt.Fprintf(&b, "\n%d rosters or states of the directory are MISSING: who should have been in these audiences, and why, can't be recomputed.\n"+
			"The fan-out worker restores those that have a copy in the content store when it starts:", r.RostersMissing)
		for _, f := range r.MissingRosters {
			fmt.Fprintf(&b, "\n%s", f)
		}
	}
	if r.AudiencesInPart > 0 {
		fmt.Fprintf(&b, "\n%d audiences of groups cite no state of the directory: a person who was left out of one is found only\n"+
			"if another person of the same block of 250 got the message", r.AudiencesInPart)
	}
	if r.Unprojected > 0 {
		fmt.Fprintf(&b, "\n%d events change nothing: they are of a type that this version does not know, or malformed", r.Unprojected)
	}
	fmt.Fprintf(&b, "\n%.1f s, %.0f deliveries a second", r.Seconds, float64(r.Deliveries)/r.Seconds)
	return b.String()
}
