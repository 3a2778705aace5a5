package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/eventlog"
	"postern/internal/health"
	"postern/internal/process"
	"postern/internal/process/up"
	"postern/internal/recorder/damage"
	"postern/internal/recorder/migrate"
	"postern/internal/store"
	"postern/internal/text/zone"
)

func (env *environment) healthCommand() *cobra.Command {
	var url string
	c := &cobra.Command{Use: "health", Short: "Show whether the system works, and what is wrong", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url != "" {
				return env.probe(cmd.Context(), url)
			}
			return env.with(cmd.Context(), func(s *system) error {
				report, err := s.health(cmd.Context())
				if err != nil {
					return err
				}
				if err := env.say(report, "%s", report); err != nil {
					return err
				}
				if !report.OK() {
					return errDoesNotHold
				}
				return nil
			})
		}}
	c.Flags().StringVar(&url, "url", "", "ask a process's /readyz instead, as a container's health check does")
	return c
}

// checkedHealth is the state that `postern health` reads itself, without --url.
type checkedHealth struct {
	damage.Report
	// Behind is the number of recorded events that the tables do not show yet.
	Behind uint64 `json:"behind"`
	// Parked is the number of open parked events.
	Parked int `json:"parked"`
	// Pauses is the number of pauses of alerting in force.
	Pauses int `json:"pauses"`
	// Unreviewed is the number of uses of emergency access that no one has reviewed.
	Unreviewed int `json:"emergency_access_unreviewed"`
	// Replication is the replication of Postgres. Asynchronous replicas are a warning, not a
	// fault.
	Replication store.Replication `json:"replication"`
}

func (s *system) health(ctx context.Context) (checkedHealth, error) {
	report, err := damage.Check(ctx, s.log, s.pool)
	if err != nil {
		return checkedHealth{}, err
	}
	status := health.New(health.Config{Pool: s.pool, Log: s.log, Now: zone.Now})
	state, err := status.State(ctx, health.PartRecorder, health.PartParked, health.PartPauses, health.PartEmergencies, health.PartReplication)
	return checkedHealth{report, state.Recorder.Events, state.Parked, len(state.Pauses), state.Emergencies.Unreviewed, state.Replication}, err
}

func (h checkedHealth) String() string {
	text := fmt.Sprintf("%s; %d not recorded yet, %d parked", h.Report, h.Behind, h.Parked)
	if h.Unreviewed > 0 {
		text += fmt.Sprintf("\nwarning: %d uses of emergency access are not reviewed", h.Unreviewed)
	}
	if warning := h.Replication.Warning(); warning != "" {
		text += "\nwarning: " + warning
	}
	return text
}

// probe asks a process by HTTP. Its answer is the text of the error.
func (env *environment) probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", text)
	}
	return env.say(readyJSON{"ready"}, "ready")
}

func (env *environment) migrateCommand() *cobra.Command {
	var lower bool
	c := &cobra.Command{Use: "migrate", Short: "Make or update the schema and the stream", Args: cobra.NoArgs,
		Long: "Makes or updates the tables in DATABASE_URL, and the stream and consumers in NATS_URL. Only the user of\n" +
			"this verb needs the permissions for that; the processes can run without them.\n\n" +
			"RECORD_REPLICAS is how many servers keep the record: 1, 3 or 5. A stream with fewer replicas gets more. A\n" +
			"stream with more keeps them, unless --lower-replicas is given.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			stores, err := config.Stores(os.Environ())
			if err != nil {
				return usageError{err}
			}
			replicas, given, err := config.Replicas(os.Environ())
			if err != nil {
				return usageError{err}
			}
			if lower && !given {
				return usageError{errors.New("--lower-replicas needs RECORD_REPLICAS, or --record-replicas: to how many?")}
			}
			if stores.DatabaseURL == "" || stores.NATSURL == "" {
				return usageError{errors.New("set DATABASE_URL and NATS_URL; the embedded system migrates itself")}
			}
			if err := migrate.Up(ctx, stores.DatabaseURL, env.logger()); err != nil {
				return err
			}
			log, err := process.ConnectLog(ctx, stores, "postern migrate", env.logger())
			if err != nil {
				return err
			}
			defer log.Close()
			if lower {
				if err := log.LowerReplicas(ctx, replicas); err != nil {
					return err
				}
			}
			err = log.Ensure(ctx, replicas)
			if errors.Is(err, eventlog.ErrMoreReplicas) && !given {
				err = nil // no one asked for fewer
			}
			if err != nil {
				return err
			}
			return env.say(migratedJSON{true}, "the schema and the stream are up to date")
		}}
	c.Flags().BoolVar(&lower, "lower-replicas", false, "lower the stream's replicas to RECORD_REPLICAS, which leaves fewer copies of the record")
	return c
}

func (env *environment) keysCommand() *cobra.Command {
	create := &cobra.Command{Use: "create FILE", Short: "Make the key of all content, for CONTENT_KEY_FILE", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			created, err := content.CreateKeyFile(args[0])
			if err != nil {
				return err
			}
			if !created {
				return fmt.Errorf("%s already exists and was not changed: the content that it encrypted can't be read without it", args[0])
			}
			return env.say(fileJSON{args[0]}, "made %s: keep a copy in a safe place, because no content can be read without it", args[0])
		}}
	return group("keys", "Keys", create, env.keysCheckpointCommand(), env.keysCertificatesCommand(), env.keysRotateCommand(), env.keysVerifierCommand())
}

func (env *environment) upCommand() *cobra.Command {
	o := up.Options{}
	c := &cobra.Command{Use: "up", Short: "Run the whole system in one process over one data folder", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Data, o.Out, o.Logger = env.data, env.out, env.serverLogger()
			o.Settings = slog.New(slog.NewTextHandler(env.errs, nil))
			o.Listen = cmp.Or(o.Listen, os.Getenv("LISTEN_ADDR"), "127.0.0.1:8080")
			err := up.Run(cmd.Context(), o)
			if errors.Is(err, up.ErrSettings) {
				return usageError{err}
			}
			return err
		}}
	c.Flags().BoolVar(&o.Demo, "demo", false, "with demo data, demo accounts and a stand-in for SendGrid")
	c.Flags().StringVar(&o.Listen, "listen", "", "where to serve HTTP (default LISTEN_ADDR, or 127.0.0.1:8080)")
	return c
}
