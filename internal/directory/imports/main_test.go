package imports

import (
	"context"
	"testing"
	"time"

	"postern/internal/store/storetest"

	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// today is the day of the tests.
var today = time.Date(2026, 3, 15, 23, 59, 0, 0, time.UTC)

func dayAt(offset int) string {
	return today.AddDate(0, 0, offset).Format(time.DateOnly)
}

// tb is what [testing.T] and [rapid.T] have in common.
type tb interface {
	rapid.TB
	Context() context.Context
	Cleanup(func())
}
