// Command recorder makes Postgres say what the record says.
package main

import (
	"postern/internal/config"
	"postern/internal/process"
)

func main() { process.Main(config.Recorder, process.Recorder) }
