package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

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
	return &cobra.Command{Use: "rotate FILE", Short: "Put a new key into a checkpoint key file, and keep the old ones' verifiers", Args: cobra.ExactArgs(1),
		Long: "The old key can't sign any more; its signatures can still be verified. Restart the recorder (or\n" +
			"`postern up`) and give the new first line to your reviewers.",
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := checkpoint.Rotate(args[0]); err != nil {
				return err
			}
			return env.sayVerifiers(args[0], "renewed it: restart the processes that sign with it. The first line below verifies the new signatures, the others the earlier ones")
		}}
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
