// Command api serves the JSON API and the pages of staff and portal users.
package main

import (
	"postern/internal/config"
	"postern/internal/roles"
)

func main() { roles.Main(config.API, roles.API) }
