// Package giveup has the time after which a test ends that waits for something that does not come.
package giveup

import "time"

// After is far longer than a working test waits on the slowest machine, and shorter than the
// timeout of a test binary, so that a test that hangs says what it waited for.
const After = 10 * time.Minute
