package eventlog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
)

// sequences reads up to the event last and gives the sequences of each run.
func sequences(t testing.TB, log *eventlog.Log, from, last uint64, maxEvents, maxBytes int) (runs [][]uint64, err error) {
	t.Helper()
	err = log.Read(eventlogtest.Within(t, time.Minute), from, maxEvents, maxBytes, func(run []eventlog.Stored) error {
		var seqs []uint64
		for _, s := range run {
			seqs = append(seqs, s.Seq)
		}
		runs = append(runs, seqs)
		if seqs[len(seqs)-1] >= last {
			return errEnd
		}
		return nil
	})
	return runs, err
}

func to(from, last uint64) (seqs []uint64) {
	for ; from <= last; from++ {
		seqs = append(seqs, from)
	}
	return seqs
}

func TestReadGivesRunsInOrder(t *testing.T) {
	log := eventlogtest.Start(t)
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 10)...)
	for name, c := range map[string]struct {
		from                uint64
		maxEvents, maxBytes int
		want                [][]uint64
	}{
		"all at once":    {1, 100, 1 << 20, [][]uint64{to(1, 10)}},
		"from zero":      {0, 100, 1 << 20, [][]uint64{to(1, 10)}},
		"from within":    {8, 100, 1 << 20, [][]uint64{to(8, 10)}},
		"by events":      {1, 4, 1 << 20, [][]uint64{to(1, 4), to(5, 8), to(9, 10)}},
		"by bytes":       {1, 100, 200, [][]uint64{to(1, 4), to(5, 8), to(9, 10)}},
		"never no event": {9, 0, 0, [][]uint64{{9}, {10}}},
	} {
		got, err := sequences(t, log, c.from, 10, c.maxEvents, c.maxBytes)
		if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, errEnd) {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// An event larger than a run's limit is a run of its own.
func TestReadTakesAnEventLargerThanARun(t *testing.T) {
	server := natstest.Start(t, func(c *embedded.NATSConfig) { c.MaxPayload = 8 << 20 })
	log := eventlogtest.Unchecked(t, server)
	large := eventlogtest.Released(t)
	large.Type, large.Data = events.TypeDeliveriesCreated, make([]byte, 5<<20)
	eventlogtest.Publish(t, log, eventlogtest.Released(t))
	eventlogtest.Publish(t, log, large)
	eventlogtest.Publish(t, log, eventlogtest.Released(t))
	got, err := sequences(t, log, 1, 3, 10, 1000)
	if diff := cmp.Diff([][]uint64{{1}, {2}, {3}}, got); diff != "" || !errors.Is(err, errEnd) {
		t.Errorf("%v\n%s", err, diff)
	}
}

// A reader at the end waits for new events.
func TestReadWaits(t *testing.T) {
	log := eventlogtest.Start(t)
	read := make(chan uint64)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- log.Read(ctx, 1, 10, 1<<20, func(run []eventlog.Stored) error {
			for _, s := range run {
				read <- s.Seq
			}
			return nil
		})
	}()
	for want := uint64(1); want <= 20; want++ {
		eventlogtest.Publish(t, log, eventlogtest.Released(t))
		if got := <-read; got != want {
			t.Fatalf("read event %d, want %d", got, want)
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Read ends with %v", err)
	}
}

// While a reader works, the server restarts and the connection breaks: the reader
// continues at the right event.
func TestReadResumes(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	faulty, reading := eventlogtest.ConnectFaulty(t, server)
	evs := eventlogtest.ManyReleased(t, 3000)
	eventlogtest.Publish(t, log, evs[:2000]...)
	next, cuts := uint64(1), 0
	var restarted, published bool
	err := reading.Read(eventlogtest.Within(t, time.Minute), 1, 100, 1<<20, func(run []eventlog.Stored) error {
		for _, s := range run {
			if s.Seq != next {
				t.Errorf("read event %d, want %d", s.Seq, next)
			}
			next++
		}
		switch {
		case next > 3000:
			return errEnd
		case next > 2000 && !published:
			published = true
			eventlogtest.Publish(t, log, evs[2000:]...)
		case next > 1000 && !restarted:
			restarted = true
			return server.Restart(eventlogtest.Within(t, time.Minute))
		case faulty.HasCut() && cuts < 5:
			cuts++
			faulty.CutAt("$JS.ACK.RECORD.", true) // an event is about to arrive
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		t.Error(err)
	}
	if cuts != 5 {
		t.Errorf("the connection was cut %d times", cuts)
	}
}

// withGaps makes a stream without protection and deletes events from it.
func withGaps(t *testing.T, msgs int, gaps ...uint64) *eventlog.Log {
	t.Helper()
	log := eventlog.New(natstest.Connect(t, natstest.Start(t), "test"), nil)
	config := eventlog.StreamConfig(1)
	config.DenyDelete = false
	stream, err := log.JetStream().CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, msgs)...)
	for _, seq := range gaps {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// The events before a gap are read, and then the gap is reported.
func TestReadReportsAGap(t *testing.T) {
	for name, c := range map[string]struct {
		gaps []uint64
		from uint64
		want [][]uint64
		gap  eventlog.ErrGap
	}{
		"in the middle":   {[]uint64{4, 5}, 1, [][]uint64{to(1, 3)}, eventlog.ErrGap{Want: 4, Got: 6}},
		"at the start":    {[]uint64{1, 2}, 1, nil, eventlog.ErrGap{Want: 1, Got: 3}},
		"where it begins": {[]uint64{4}, 4, nil, eventlog.ErrGap{Want: 4, Got: 5}},
		"at the end":      {[]uint64{7, 8}, 7, nil, eventlog.ErrGap{Want: 7, Got: 9}},
	} {
		log := withGaps(t, 8, c.gaps...)
		got, err := sequences(t, log, c.from, 8, 100, 1<<20)
		var gap eventlog.ErrGap
		if !errors.As(err, &gap) || gap != c.gap {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// A stream that lost its end would assign sequences a second time: a reader that is
// past them must not wait for them.
func TestReadReportsAMissingEnd(t *testing.T) {
	log := withGaps(t, 5)
	_, err := sequences(t, log, 7, 100, 10, 1<<20)
	var truncated eventlog.ErrTruncated
	if !errors.As(err, &truncated) || truncated != (eventlog.ErrTruncated{Want: 7, Last: 5}) {
		t.Errorf("got %v", err)
	}
}

// A reader may be started before the stream, and before the server is back.
func TestReadWaitsForTheStream(t *testing.T) {
	server := natstest.Start(t)
	early := eventlog.New(natstest.Connect(t, server, "early"), nil)
	done := make(chan error, 1)
	go func() {
		_, err := sequences(t, early, 1, 1, 10, 1<<20)
		done <- err
	}()
	eventlogtest.Publish(t, eventlogtest.On(t, server), eventlogtest.Released(t))
	if err := <-done; !errors.Is(err, errEnd) {
		t.Error(err)
	}
}

// BenchmarkRead reads events as the recorder does: go test -bench Read -benchtime 1x
// ./internal/eventlog
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name   string
		events int
		make   func(i int) events.Event
	}{
		{"small", 300_000, func(int) events.Event { return eventlogtest.Released(b) }},
		{"chunks", 3000, func(i int) events.Event { return eventlogtest.Chunk(b, uuid.Nil, i, 3000) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			log := eventlogtest.Unchecked(b, natstest.Start(b))
			var last uint64
			for i := 0; i < c.events; i += 1000 {
				var evs []events.Event
				for j := range 1000 {
					evs = append(evs, c.make(i+j))
				}
				last = eventlogtest.Publish(b, log, evs...)
			}
			b.ResetTimer()
			for range b.N {
				size := 0
				err := log.Read(b.Context(), 1, 4096, 4<<20, func(run []eventlog.Stored) error {
					for i := range run {
						size += len(run[i].Data)
					}
					if run[len(run)-1].Seq == last {
						return errEnd
					}
					return nil
				})
				if !errors.Is(err, errEnd) {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
			}
			b.ReportMetric(float64(c.events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
