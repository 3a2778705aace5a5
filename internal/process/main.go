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
	"postern/internal/text/zone"
)

// Main is the main function of a process with one role: it reads the settings, runs until
// SIGTERM or Ctrl-C, and exits with status 1 if the role failed, 2 if the settings are wrong.
func Main(p config.Process, run func(context.Context, config.Config, *telemetry.Telemetry, *slog.Logger) error) {
	settings := config.FromEnvironment(p)
	LimitMemory()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := zone.Use(settings.TimeZone); err != nil { // FromEnvironment has checked it
		logger.Error("ended", "error", err)
		os.Exit(2)
	}
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

// UseTimeZone makes TIME_ZONE the zone of this process. Call it once, in main, first.
func UseTimeZone() { config.UseTimeZone() }

// CloseTelemetry sends the last traces, with a timeout.
func CloseTelemetry(tell *telemetry.Telemetry) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = tell.Close(ctx) // if the collector can't be reached, only traces are lost
}

// softMemoryLimit is the memory of the Go runtime that a process should not exceed for a blast of
// any size: near it, the garbage collector works harder. The program itself, about 45 MiB, comes on
// top. The limit of the operating system or container should be much higher.
const softMemoryLimit = 140 << 20

// gcPercent lets the heap grow to two and a half times of what lives before it is collected. A blast
// to a million took 3.5 core-seconds and 139 MiB with the runtime's 100, 2.8 and 163 MiB with 150, and
// 3.0 and 217 MiB with 200. The runs were on a busy machine, so the times compare only roughly.
const gcPercent = 150

// LimitMemory sets the limit and the collector, unless GOMEMLIMIT or GOGC sets another. Call it
// once, in main.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
