package facts_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
)

// Record and WaitToRead fail with ErrUnavailable, whatever the reason; Publish returns the
// reason alone. All facts of one call are sent as one batch with one time.
func TestPublishing(t *testing.T) {
	t.Parallel()
	away := errors.New("no stream")
	var sent []events.Event
	var left time.Duration
	at := time.Date(2026, 1, 31, 9, 30, 0, 999, time.FixedZone("CET", 3600))
	p := facts.Publisher{Source: "/api", Clock: func() time.Time { return at },
		Send: func(ctx context.Context, all ...events.Event) (uint64, error) {
			deadline, _ := ctx.Deadline()
			sent, left = all, time.Until(deadline)
			if len(all) > 1 {
				return 7, nil
			}
			return 0, away
		},
		Reached: func(ctx context.Context, _ uint64) error { return context.DeadlineExceeded }}.Within(facts.RequestTimeout)

	fact := events.AlertingResumed{Change: uuid.New(), Reason: "x"}
	if _, err := p.Record(t.Context(), "staff:ada", p.Time(), fact); !errors.Is(err, facts.ErrUnavailable) || !errors.Is(err, away) {
		t.Errorf("recording gives %v", err)
	}
	if left <= 0 || left > facts.RequestTimeout {
		t.Errorf("a request may take %v", left)
	}
	if _, err := p.Publish(t.Context(), "staff:ada", p.Time(), fact); !errors.Is(err, away) || errors.Is(err, facts.ErrUnavailable) {
		t.Errorf("publishing gives %v", err)
	}
	if err := p.WaitToRead(t.Context(), 7); !errors.Is(err, facts.ErrUnavailable) {
		t.Errorf("waiting gives %v", err)
	}
	other := events.AlertingResumed{Change: uuid.New(), Reason: "y"}
	seq, err := p.Publish(t.Context(), p.Process(), p.Now(), fact, other)
	if err != nil || seq != 7 || len(sent) != 2 {
		t.Fatalf("a batch gives %d, %v", seq, err)
	}
	for _, e := range sent {
		if e.Actor != "process:api" || e.Source != "/api" || !e.Time.Equal(at.Truncate(time.Microsecond)) || e.Time.Location() != time.UTC {
			t.Errorf("it was sent as %+v", e)
		}
	}
}
