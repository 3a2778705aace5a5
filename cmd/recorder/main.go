// Command recorder makes Postgres say what the record says.
package main

import (
	"postern/internal/config"
	"postern/internal/roles"
)

func main() { roles.Main(config.Recorder, roles.Recorder) }
