package eventlog_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No goroutine of this package outlives its test. A NATS server that stops during an
// atomic batch leaves the goroutines of the batch's store, and Watermill's suite
// leaves some of its readers.
func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"))
}
