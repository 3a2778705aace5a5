// Package eventlogtest gives each test its own record on a real NATS server, and
// checks every event against its schema when the test ends.
package eventlogtest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/schemas"
)

// Start gives an empty record with its durable consumers. [Check] runs on it when
// the test ends.
func Start(t testing.TB) *eventlog.Log {
	t.Helper()
	return On(t, natstest.Start(t))
}

// On is [Start] on the test's own server without users, which the test may restart.
func On(t testing.TB, server *embedded.NATS) *eventlog.Log {
	t.Helper()
	log := Unchecked(t, server)
	t.Cleanup(func() { Check(t, log) })
	return log
}

// Unchecked is [On] without [Check], for tests that publish invalid events.
func Unchecked(t testing.TB, server *embedded.NATS) *eventlog.Log {
	t.Helper()
	log := eventlog.New(natstest.Connect(t, server, "test"), nil)
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	if err := log.Ensure(ctx, 1); err != nil {
		t.Fatal(err)
	}
	return log
}

var errEnd = errors.New("the end of the record")

// Check reads the record and fails the test at the first event that is missing, does
// not satisfy its schema, or has the wrong subject or headers.
func Check(t testing.TB, log *eventlog.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After) // the test's own context has ended
	defer cancel()
	state, err := log.State(ctx)
	if err != nil || state.Last == 0 {
		if err != nil {
			t.Errorf("checking the record: %v", err)
		}
		return
	}
	err = log.Read(ctx, 1, 4096, 4<<20, func(run []eventlog.Stored) error {
		for _, s := range run {
			if !check(t, s) {
				return errEnd
			}
		}
		if run[len(run)-1].Seq >= state.Last {
			return errEnd
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		t.Errorf("checking the record: %v", err)
	}
}

func check(t testing.TB, s eventlog.Stored) bool {
	t.Helper()
	e, err := events.Parse(s.Header, s.Data)
	if err != nil {
		t.Errorf("event %d: %v", s.Seq, err)
		return false
	}
	own := nats.Header{}
	for name, values := range s.Header {
		if !strings.HasPrefix(name, "Nats-") || name == events.HeaderMsgID { // the server sets the others
			own[name] = values
		}
	}
	diff := cmp.Diff(nats.Header(e.Header()), own)
	invalid := schemas.Validate(e)
	switch {
	case invalid != nil:
		t.Errorf("event %d: %v", s.Seq, invalid)
	case s.Subject != e.Subject():
		t.Errorf("event %d, %s, has the subject %s, want %s", s.Seq, e.Type, s.Subject, e.Subject())
	case diff != "":
		t.Errorf("event %d, %s (-want +got):\n%s", s.Seq, e.Type, diff)
	default:
		return true
	}
	return false
}
