// Command fanout-worker expands messages to groups into one delivery a portal user.
package main

import (
	"postern/internal/config"
	"postern/internal/process"
)

func main() { process.Main(config.Fanout, process.Fanout) }
