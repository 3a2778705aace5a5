package process

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"postern/internal/config"
	"postern/internal/telemetry"
)

// Main is the main function of a process that runs one role by itself: it reads
// the settings, runs until SIGTERM or Ctrl-C, and exits with status 1 where the
// role failed, 2 where the settings are wrong.
func Main(p config.Process, run func(context.Context, config.Config, *telemetry.Telemetry, *slog.Logger) error) {
	settings := config.FromEnvironment(p)
	LimitMemory()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tell, err := telemetry.Start(ctx, string(p), settings.OTLPEndpoint)
	if err != nil {
		logger.Error("ended", "error", err)
		os.Exit(1)
	}
	err = run(ctx, settings, tell, logger)
	CloseTelemetry(tell)
	if err != nil && ctx.Err() == nil {
		logger.Error("ended", "error", err)
		os.Exit(1)
	}
}

// CloseTelemetry gives the last traces a moment to leave.
func CloseTelemetry(tell *telemetry.Telemetry) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = tell.Close(ctx) // a collector that is away costs traces and nothing else
}

// memoryGoal is what a process is to get by with, however large the blast: the
// garbage collector works harder when it comes near. The system's own limit
// should be a good deal higher.
const memoryGoal = 200 << 20

// LimitMemory sets the goal unless GOMEMLIMIT says another. Call it once, in main.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
}
