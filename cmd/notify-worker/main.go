// Command notify-worker sends the e-mail alerts, which carry no content.
package main

import (
	"postern/internal/config"
	"postern/internal/roles"
)

func main() { roles.Main(config.Notify, roles.Notify) }
