// Command postern is the operator's and the reviewer's command line; `postern
// up` runs the whole system in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"postern/internal/cli"
	"postern/internal/process"
)

func main() {
	process.UseTimeZone()
	process.LimitMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:]))
}
