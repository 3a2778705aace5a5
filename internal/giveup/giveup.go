// Package giveup has the time after which a test ends that waits for something that does not come.
package giveup

import "time"

// After is far longer than a working test waits, also on a slow machine. It is shorter than the ten
// minutes after which go test ends a test binary, so that a test that hangs says what it waited for.
const After = 8 * time.Minute
