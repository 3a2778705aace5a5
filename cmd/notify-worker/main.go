// Command notify-worker sends the e-mail alerts, which carry no content.
package main

import (
	"postern/internal/config"
	"postern/internal/process"
)

func main() { process.Main(config.Notify, process.Notify) }
