package directory

import (
	"context"
	"time"

	"pgregory.net/rapid"
)

// dayOfImports is the day of the tests.
var dayOfImports = time.Date(2026, 3, 15, 23, 59, 0, 0, time.UTC)

func dayOfImportsAt(offset int) string {
	return dayOfImports.AddDate(0, 0, offset).Format(time.DateOnly)
}

// anyT is what [testing.T] and [rapid.T] have in common.
type anyT interface {
	rapid.TB
	Context() context.Context
	Cleanup(func())
}
