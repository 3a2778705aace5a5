package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/content/rotation"
	"postern/internal/proof/checkpoint"
)

type verifiersJSON struct {
	File      string   `json:"file"`
	Verifiers []string `json:"verifiers"`
}

func (env *environment) keysCheckpointCommand() *cobra.Command {
	var name string
	c := &cobra.Command{Use: "checkpoint FILE", Short: "Make the key that signs the record, for CHECKPOINT_KEY_FILE", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			created, err := checkpoint.CreateKeyFile(args[0], name)
			if err != nil {
				return err
			}
			if !created {
				return fmt.Errorf("%s already exists and was not changed: use `postern keys rotate` to renew it", args[0])
			}
			return env.sayVerifiers(args[0], "made it: the line below verifies its signatures and is not secret. Give it to your reviewers")
		}}
	c.Flags().StringVar(&name, "name", "", "what to call the record, as clinic.example/record; it is in every checkpoint")
	return c
}

func (env *environment) keysRotateCommand() *cobra.Command {
	c := &cobra.Command{Use: "rotate FILE", Short: "Put a new key into a checkpoint key file, and keep the old ones' verifiers", Args: cobra.ExactArgs(1),
		Long: "The old key can't sign any more; its signatures can still be verified. Restart the recorder (or\n" +
			"`postern up`) and give the new first line to your reviewers.",
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := checkpoint.Rotate(args[0]); err != nil {
				return err
			}
			return env.sayVerifiers(args[0], "renewed it: restart the processes that sign with it. The first line below verifies the new signatures, the others the earlier ones")
		}}
	c.AddCommand(env.keysRotateContentCommand())
	return c
}

// changesEnd is longer than any change takes that wraps a key and stores it later.
const changesEnd = 15 * time.Minute

func (env *environment) keysRotateContentCommand() *cobra.Command {
	var check bool
	var o rotation.Config
	c := &cobra.Command{Use: "content", Short: "Replace the key of all content, while the system runs", Args: cobra.NoArgs,
		Long: "Adds a new key to the file CONTENT_KEY_FILE (of the embedded system: content.key), wraps every data key\n" +
			"again by it, and then removes the old key. No content is rewritten. Everything can be read all the time.\n" +
			"If it is interrupted, run it again: it continues.\n\n" +
			"Processes that run read the file again. Before the old key is removed, the verb waits until changes have\n" +
			"ended that began before (--wait), and looks again. Where processes have files of their own, as containers\n" +
			"do, run it in three steps: docs/operating.md.\n\n" +
			"Backups from before need the old key: keep a copy of the key file with them. Make a copy of the new one.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.with(cmd.Context(), func(s *system) error {
				if s.stores != nil && !cmd.Flags().Changed("wait") {
					o.Wait = 0 // no process of this system runs but this one
				}
				return env.rotateContent(cmd.Context(), s, o, check)
			})
		}}
	c.Flags().BoolVar(&check, "check", false, "only say what is wrapped by which key")
	c.Flags().BoolVar(&o.Prepare, "prepare", false, "only add the new key, which doesn't wrap yet")
	c.Flags().BoolVar(&o.KeepOld, "keep-old", false, "leave the old key in the file; the next rotation begins by removing it")
	c.Flags().DurationVar(&o.Wait, "wait", changesEnd, "how long a change may take that began before the new key")
	return c
}

func (env *environment) rotateContent(ctx context.Context, s *system, o rotation.Config, check bool) error {
	kept, closeStore, err := env.contentStore(ctx, s)
	if err != nil {
		return err
	}
	defer closeStore()
	if kept == nil {
		return usageError{errors.New("set CONTENT_URL and CONTENT_KEY_FILE: where the content is, and its key file")}
	}
	o.Pool, o.Content = s.pool, kept
	if check {
		report, err := rotation.Check(ctx, o)
		if err != nil {
			return err
		}
		return env.say(report, "%s", report)
	}
	bar := env.progress("keys")
	o.Progress = func(place string, done int) { bar.at(place, int64(done)) }
	report, err := rotation.Rotate(ctx, o)
	bar.finish()
	if err != nil {
		return err
	}
	return env.say(report, "%s\n%s", report, whatNext(o, report))
}

// whatNext says what to do after a rotation.
func whatNext(o rotation.Config, r rotation.Report) string {
	switch {
	case o.Prepare:
		return "The new key is in the file and doesn't wrap yet: give the file to all processes, and restart them."
	case len(r.Keys) > 1:
		return "The old key is still in the file. Run this again without --keep-old to remove it."
	}
	return "The old key is removed. Make a copy of the key file now. Backups from before need their own copy."
}

func (env *environment) keysVerifierCommand() *cobra.Command {
	return &cobra.Command{Use: "verifier FILE", Short: "Print the keys that verify the checkpoints signed with a key file", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return env.sayVerifiers(args[0], "") }}
}

func (env *environment) sayVerifiers(file, did string) error {
	keys, err := checkpoint.ReadKeyFile(file)
	if err != nil {
		return err
	}
	text := strings.Join(keys.Verifiers, "\n")
	if did != "" {
		text = did + ":\n" + text
	}
	return env.say(verifiersJSON{file, keys.Verifiers}, "%s", text)
}
