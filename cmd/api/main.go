// Command api serves the JSON API and the pages of staff and portal users.
package main

import (
	"postern/internal/config"
	"postern/internal/process"
)

func main() { process.Main(config.API, process.API) }
