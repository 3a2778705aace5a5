package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/process/up"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle/merklestore"
)

type recoveredJSON struct {
	// Lost are the parts that were missing at the start.
	Lost []up.Part `json:"lost"`
	// Without are the parts that the operator gave up.
	Without []up.Part `json:"without"`
}

func (env *environment) recoverCommand() *cobra.Command {
	var without []string
	var verifiers string
	c := &cobra.Command{Use: "recover", Short: "Continue without parts of a system that are permanently lost", Args: cobra.NoArgs,
		Long: "Without a flag it lists the missing parts of the data folder, what each loss means and what to do. It\n" +
			"changes nothing, and exits 1 if a part is missing. With --without PART, once for each part that no backup\n" +
			"has, it makes a new part to replace it. Stop `postern up` first.\n\n" +
			"The parts are content.key, checkpoint.key, postgres, content and archive. `postern repair` restores the\n" +
			"stream, nats. If a key or the content store exists but is not the earlier one, name it too: then it is\n" +
			"used from now on. With DATABASE_URL and NATS_URL, recover only stores in the database which parts are lost.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := up.Recovery{Actor: operator(), Logger: env.logger()}
			for _, name := range without {
				part := up.Part(strings.TrimSuffix(name, "/"))
				if !slices.Contains(up.Parts(), part) {
					return usageError{fmt.Errorf("--without %s: it can be %s", name, partNames())}
				}
				if !slices.Contains(r.Without, part) {
					r.Without = append(r.Without, part)
				}
			}
			if verifiers != "" {
				var err error
				if r.Before, err = checkpoint.ParseVerifiers(textOrFile(verifiers)); err != nil {
					return usageError{fmt.Errorf("--verifiers: %w", err)}
				}
			}
			stores, err := config.Stores(os.Environ())
			if err != nil {
				return usageError{err}
			}
			if stores.DatabaseURL != "" {
				return env.acceptLoss(cmd.Context(), r)
			}
			return env.recover(cmd.Context(), r)
		}}
	c.Flags().StringSliceVar(&without, "without", nil, "a part that is permanently lost; may be repeated")
	c.Flags().StringVar(&verifiers, "verifiers", "", "the output of `postern keys verifier` for the lost checkpoint.key, or a file with it")
	return c
}

func partNames() string {
	var names []string
	for _, p := range up.Parts() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

func (env *environment) recover(ctx context.Context, r up.Recovery) (err error) {
	folder, err := up.Open(env.data)
	if errors.Is(err, up.ErrInUse) {
		return fmt.Errorf("%w: stop `postern up`, then run `postern recover` again", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Release()) }()
	lost, err := up.Lost(ctx, folder, r.Logger)
	if err != nil {
		return err
	}
	if len(r.Without) == 0 {
		if len(lost) == 0 {
			return env.say(recoveredJSON{[]up.Part{}, []up.Part{}}, "No part of the data folder is missing.")
		}
		missing := &up.LostError{Folder: folder.Path(), Lost: lost}
		if err := env.say(recoveredJSON{lost, []up.Part{}}, "%s", missing); err != nil {
			return err
		}
		return errDoesNotHold
	}
	if err := up.Recover(ctx, folder, r); err != nil {
		return err
	}
	next := "Start it with `postern up`."
	if slices.Contains(lost, up.NATS) {
		next = "Run `postern repair` next, which restores the stream."
	}
	if slices.Contains(r.Without, up.Postgres) {
		next = "Next: `postern import …` the directory, `postern staff create …` for each member of staff, `postern rebuild`, and then `postern up`. " +
			"Alerts that had no outcome become unknown: `postern replay plan --state unknown …` plans to send them."
	}
	if slices.Contains(r.Without, up.CheckpointKey) {
		next += " Give your reviewers the first line of `postern keys verifier " + folder.CheckpointKeyFile() + "`, and compare the other lines with the verifiers that they have."
	}
	if lost == nil {
		lost = []up.Part{}
	}
	return env.say(recoveredJSON{lost, r.Without}, "The system goes on without its earlier %s. %s", joinedParts(r.Without), next)
}

func joinedParts(parts []up.Part) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

// acceptLoss is recover for separate processes, whose operator makes the new parts. It lets the
// processes start with the existing parts.
func (env *environment) acceptLoss(ctx context.Context, r up.Recovery) error {
	if len(r.Without) == 0 {
		return usageError{errors.New("name the lost parts with --without; each process says at its start which part it misses")}
	}
	return env.with(ctx, func(s *system) error {
		if slices.Contains(r.Without, up.Postgres) {
			kept, closeStore, err := env.contentStore(ctx, s)
			if err != nil {
				return err
			}
			defer closeStore()
			if err := up.RestoreNumbers(ctx, s.log, s.pool, kept); err != nil {
				return err
			}
		}
		if file := os.Getenv("CHECKPOINT_KEY_FILE"); slices.Contains(r.Without, up.CheckpointKey) && file != "" {
			if err := succeed(ctx, s.pool, file, r.Before); err != nil {
				return err
			}
		}
		if err := up.Accept(ctx, s.pool, r.Actor, r.Without); err != nil {
			return err
		}
		return env.say(recoveredJSON{[]up.Part{}, r.Without}, "The system goes on without its earlier %s. Start its processes.", joinedParts(r.Without))
	})
}

// succeed adds the earlier verifiers to a checkpoint key file: the given ones, or else those in
// the database.
func succeed(ctx context.Context, pool *pgxpool.Pool, file string, before *checkpoint.Verifiers) error {
	if before == nil {
		text, err := merklestore.CheckpointKeys(ctx, pool)
		if errors.Is(err, merklestore.ErrUnsigned) {
			return nil
		}
		if err != nil {
			return err
		}
		if before, err = checkpoint.ParseVerifiers(text); err != nil {
			return err
		}
	}
	_, err := checkpoint.CreateSuccessor(file, before)
	return err
}
