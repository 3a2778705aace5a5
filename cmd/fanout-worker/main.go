// Command fanout-worker expands messages to groups into one delivery a portal user.
package main

import (
	"postern/internal/config"
	"postern/internal/roles"
)

func main() { roles.Main(config.Fanout, roles.Fanout) }
