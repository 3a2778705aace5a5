package consume_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
)

var errPoison = errors.New("poison")

// A thousand events share one slot. The event that can't be handled takes the slot
// only during a try, not while it waits for the next. All others are handled before
// it is parked.
func TestAnEventThatWaitsForARetryTakesNoSlot(t *testing.T) {
	t.Parallel()
	log := eventlogtest.On(t, natstest.Start(t))
	evs := eventlogtest.ManyReleased(t, 1000)
	var poisonTries, good atomic.Int32
	var parked parkedEvents
	all := make(chan int, 1)
	eventlogtest.Publish(t, log, evs...)
	run(t, log, consume.Parking{MaxTries: 8, Park: parked.park}, consume.Lane{Consumer: eventlog.FanoutDirect, Slots: 1,
		Handle: func(_ context.Context, e events.Event, _ uint64) error {
			if e.ID == evs[0].ID {
				poisonTries.Add(1)
				return errPoison
			}
			if good.Add(1) == int32(len(evs)-1) {
				parked.mu.Lock()
				defer parked.mu.Unlock()
				all <- len(parked.parked)
			}
			return nil
		}})
	select {
	case n := <-all:
		if n != 0 || poisonTries.Load() == 0 {
			t.Errorf("when all others were handled, the poison event was tried %d times and parked %d times", poisonTries.Load(), n)
		}
	case <-eventlogtest.Within(t, time.Minute).Done():
		t.Fatalf("%d of the others were handled", good.Load())
	}
}

// BenchmarkPoison measures how long events wait that are published one after another:
// once without poison events, and once with one in a thousand, which is tried eight
// times. The second p99 stays under twice the first. Run `make bench-poison`.
func BenchmarkPoison(b *testing.B) {
	for b.Loop() {
		clean, poisoned := p99(b, 0), p99(b, 1000)
		b.ReportMetric(float64(clean.Microseconds()), "p99-clean-µs")
		b.ReportMetric(float64(poisoned.Microseconds()), "p99-poisoned-µs")
		b.ReportMetric(float64(poisoned)/float64(clean), "ratio")
	}
}

// p99 gives the 99th percentile of the wait of the events that can be handled. One
// event in oneIn can't be handled; 0 means that all can.
func p99(b *testing.B, oneIn int) time.Duration {
	b.Helper()
	const n = 4000
	log := eventlogtest.Unchecked(b, natstest.Start(b))
	var mu sync.Mutex
	published, delays := map[uuid.UUID]time.Time{}, []time.Duration{}
	bad := map[uuid.UUID]bool{}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- consume.Run(ctx, log, consume.Parking{MaxTries: 8, Park: new(parkedEvents).park}, consume.Lane{Consumer: eventlog.FanoutDirect, Slots: 4,
			Handle: func(_ context.Context, e events.Event, _ uint64) error {
				mu.Lock()
				defer mu.Unlock()
				if bad[e.ID] {
					return errPoison
				}
				if delays = append(delays, time.Since(published[e.ID])); len(delays) == n-len(bad) {
					close(done)
				}
				return nil
			}})
	}()
	for i, e := range eventlogtest.ManyReleased(b, n) {
		mu.Lock()
		published[e.ID] = time.Now()
		if oneIn > 0 && i%oneIn == oneIn/2 {
			bad[e.ID] = true
		}
		mu.Unlock()
		eventlogtest.Publish(b, log, e)
	}
	<-done
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	slices.Sort(delays)
	return delays[len(delays)*99/100]
}
