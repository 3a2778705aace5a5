package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/eventlog/facts"
	"postern/internal/notify/pause"
)

func (env *environment) alertingCommand() *cobra.Command {
	status := &cobra.Command{Use: "status", Short: "Show whether alerts are sent or paused", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.with(cmd.Context(), func(s *system) error { return env.sayPauses(cmd.Context(), s.alerting()) })
		}}
	return group("alerting", "Pause and resume alerts",
		env.alertingChange("pause", "Pause alerts of all messages or of one; they are sent later", (*pause.Pauses).Pause),
		env.alertingChange("resume", "Resume alerts", (*pause.Pauses).Resume), status)
}

func (s *system) alerting() *pause.Pauses {
	return pause.New(pause.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish}})
}

func (env *environment) alertingChange(use, short string, change func(*pause.Pauses, context.Context, string, *uuid.UUID, string) (uint64, error)) *cobra.Command {
	var message, reason string
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var id *uuid.UUID
			if message != "" {
				parsed, err := uuid.Parse(message)
				if err != nil {
					return usageError{fmt.Errorf("--message %q is not the id of a message", message)}
				}
				id = &parsed
			}
			return env.with(cmd.Context(), func(s *system) error {
				seq, err := change(s.alerting(), cmd.Context(), operator(), id, reason)
				if errors.Is(err, pause.ErrReason) {
					return usageError{fmt.Errorf("--reason: %w", err)}
				}
				if err != nil {
					return err
				}
				if err := s.wait(cmd.Context(), seq); err != nil {
					return err
				}
				return env.sayPauses(cmd.Context(), s.alerting())
			})
		}}
	c.Flags().StringVar(&message, "message", "", "id of the message; without it, all messages")
	c.Flags().StringVar(&reason, "reason", "", "the reason; it is recorded")
	require(c, "reason")
	return c
}

func (env *environment) sayPauses(ctx context.Context, s *pause.Pauses) error {
	pauses, err := s.Pauses(ctx)
	if err != nil {
		return err
	}
	if env.json {
		return env.say(alertingJSON{len(pauses) > 0 && pauses[0].MessageID == nil, pauses}, "")
	}
	if len(pauses) == 0 {
		return env.say(nil, "alerts go out")
	}
	for _, p := range pauses {
		of := "all messages"
		if p.MessageID != nil {
			of = "message " + p.MessageID.String()
		}
		if err := env.say(nil, "the alerts of %s wait since %s (%d chunks): %s", of, p.PausedAt.Format(time.RFC3339), p.Waiting, p.Reason); err != nil {
			return err
		}
	}
	return nil
}
