package notify_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/eventlogtest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

const (
	chunks   = 8 // of a group
	perChunk = 3 // recipients; the second and third share an address
)

// blast is a message with several chunks that can be read, on a record with a running recorder.
type blast struct {
	testing.TB
	record  *recordertest.Running
	url     string
	admin   *pgxpool.Pool
	fake    *sendgridfake.Fake
	sends   *sendgrid.Client
	message uuid.UUID
	events  []events.Event // deliveries.created, by chunk
	seqs    []uint64
}

func newBlast(t testing.TB, chunks int, config sendgridfake.Config) *blast {
	t.Helper()
	b := &blast{TB: t, url: storetest.New(t), fake: sendgridfake.New(config), message: uuid.Must(uuid.NewV7())}
	log := eventlogtest.Start(t)
	b.admin = storetest.Open(t, b.url, store.RoleAdmin)
	server := httptest.NewServer(b.fake)
	t.Cleanup(func() { b.fake.Close(); server.Close() })
	var err error
	b.sends, err = sendgrid.New(sendgrid.Config{BaseURL: server.URL, APIKey: "SG.test", From: "alerts@clinic.example.test", PublicURL: "https://portal.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.sends.Close)
	b.record = recordertest.Start(t, log, storetest.Open(t, b.url, store.RoleRecorder), recorder.New(recorder.Config{Log: log, Pool: storetest.Open(t, b.url, store.RoleRecorder)}).Run)
	if _, err := b.admin.Exec(t.Context(), `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
		SELECT n + 1, 'u' || n, 'U', 'u' || n - (n % $2 = 2)::integer || '@x.test', true FROM generate_series(0, $1 - 1) n`, chunks*perChunk, perChunk); err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("0", 64)
	all := []events.Event{b.event(events.MessageSent{MessageID: b.message, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest, Attachments: []events.AttachmentFact{},
		StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: time.Now(), Recipients: events.Selection{PortalUserIDs: []string{}, Groups: []string{"all_portal_users"}}})}
	for chunk := range chunks {
		d := events.DeliveriesCreated{MessageID: b.message, Chunk: chunk}
		for i := range perChunk {
			n := chunk*perChunk + i
			d.Recipients = append(d.Recipients, events.Recipient{PortalUserID: fmt.Sprintf("u%d", n), PortalUserNo: int32(n + 1), Links: []events.Link{}}) // #nosec G115 -- few
		}
		e := b.event(d)
		e.Chunk = &events.ChunkRef{Index: chunk, Of: chunks}
		all, b.events = append(all, e), append(b.events, e)
	}
	all = append(all, b.event(events.FanoutCompleted{MessageID: b.message, Deliveries: chunks * perChunk, Chunks: chunks}))
	for i, e := range all {
		seq, err := log.Publish(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && i <= chunks {
			b.seqs = append(b.seqs, seq)
		}
	}
	return b
}

func (b *blast) event(body events.Body) events.Event {
	b.Helper()
	e, err := events.New("/test", "process:test", time.Now(), body)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

type (
	sender    = func(context.Context, uuid.UUID, []sendgrid.Address) sendgrid.Result
	publisher = func(context.Context, ...events.Event) (uint64, error)
)

// worker makes a worker, as of another process. send and publish, where they are not nil, take
// the place of SendGrid and of the record.
func (b *blast) worker(send sender, publish publisher) *notify.Worker {
	b.Helper()
	if send == nil {
		send = b.sends.Send
	}
	if publish == nil {
		publish = b.record.Log.Publish
	}
	return notify.New(notify.Config{Pool: storetest.Open(b, b.url, store.RoleNotify), Position: b.record.Watcher,
		Facts: facts.Publisher{Send: publish}, Send: send})
}

// handle gives chunks to a worker, all at the same time, and waits for its handlers.
func (b *blast) handle(w *notify.Worker, chunks ...int) {
	b.Helper()
	var handlers sync.WaitGroup
	for _, chunk := range chunks {
		handlers.Go(func() {
			if err := w.Handle(b.Context(), b.events[chunk], b.seqs[chunk]); err != nil {
				b.Errorf("chunk %d: %v", chunk, err)
			}
		})
	}
	handlers.Wait()
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// kill is the moment at which a process is killed: whoever comes to it never returns.
type kill struct {
	reached sync.WaitGroup
	over    context.Context // ends with the test
}

func newKill(t testing.TB, times int) *kill {
	k := &kill{over: t.Context()}
	k.reached.Add(times)
	return k
}

func (k *kill) die() {
	k.reached.Done()
	<-k.over.Done()
	runtime.Goexit()
}

// killed gives all chunks to a worker, which ends at k.
func (b *blast) killed(w *notify.Worker, k *kill) {
	for chunk := range b.events {
		go func() { _ = w.Handle(k.over, b.events[chunk], b.seqs[chunk]) }()
	}
	k.reached.Wait()
}

// accepted waits until the outcomes of all chunks are recorded, and checks how many alerts are
// accepted, and how many events say so.
func (b *blast) verdict(accepted, failed, unknown, outcomes int) {
	b.Helper()
	state, err := b.record.Log.State(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := b.record.Watcher.Wait(b.Context(), state.Last); err != nil {
		b.Fatal(err)
	}
	if got := recordertest.StateOf(b, b.admin, b.message); got.Accepted != accepted || got.Failed != failed || got.Unknown != unknown {
		b.Errorf("%d alerts are accepted, %d failed, %d unknown; want %d, %d, %d", got.Accepted, got.Failed, got.Unknown, accepted, failed, unknown)
	}
	var events, waiting int
	if err := b.admin.QueryRow(b.Context(), `SELECT (SELECT count(*) FROM record.events WHERE type LIKE 'alerts.%'), (SELECT count(*) FROM app.alert_work)`).
		Scan(&events, &waiting); err != nil || events != outcomes || waiting != 0 {
		b.Errorf("%d events have outcomes, want %d; %d chunks wait, %v", events, outcomes, waiting, err)
	}
	b.eachMailedOnce()
}

func (b *blast) eachMailedOnce() {
	b.Helper()
	for address, n := range b.fake.Counts() {
		number := 0
		if _, err := fmt.Sscanf(address, "u%d@", &number); err != nil {
			b.Fatal(err)
		}
		if most := 1 + number%perChunk%2; n > most { // the second of each chunk has the address of two
			b.Errorf("%s was mailed %d times", address, n)
		}
	}
}

// retryAll lets a worker retry chunks until none waits.
func (b *blast) retryAll(w *notify.Worker) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	var retries sync.WaitGroup
	retries.Go(func() { _ = w.RunRetries(ctx) })
	defer retries.Wait()
	defer stop()
	for waiting := 1; waiting > 0; { // ended by the test's own deadline
		if err := b.admin.QueryRow(b.Context(), `SELECT count(*) FROM app.alert_work`).Scan(&waiting); err != nil {
			b.Fatal(err)
		}
	}
}

// outcomes returns how many outcomes the record has.
func (b *blast) outcomes() int {
	b.Helper()
	state, err := b.record.Log.State(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	const before = 2                                // message.sent, fanout.completed
	return int(state.Last) - before - len(b.events) // #nosec G115 -- few
}

// Chunks that come together are alerted once each, and share their claims, answers and outcomes.
func TestAGroupIsAlerted(t *testing.T) {
	t.Parallel()
	b := newBlast(t, 2*chunks+1, sendgridfake.Config{})
	w := b.worker(nil, nil)
	b.handle(w, upTo(2*chunks+1)...)
	n := (2*chunks + 1) * perChunk
	b.verdict(n, 0, 0, 2*chunks+1)
	if b.fake.Count() != n {
		t.Errorf("SendGrid took %d alerts, want %d", b.fake.Count(), n)
	}
	// Some of them are delivered again, as after a lost acknowledgement.
	b.handle(w, 1, 2, 11)
	b.handle(b.worker(nil, nil), upTo(2*chunks+1)...)
	b.verdict(n, 0, 0, 2*chunks+1)
}

// A worker is killed at each commit point of a group. The next worker alerts none again, and
// loses none: alerts are unknown where the answer is lost.
func TestAGroupIsKilled(t *testing.T) {
	t.Parallel()
	const all = chunks * perChunk
	const first = 2 * chunks // recipients in the first requests; a third has an address twice in its chunk
	for name, c := range map[string]struct {
		worker   func(*blast, *kill) *notify.Worker
		times    int // that the killed worker comes to the point
		accepted int
		unknown  int
		mailed   int
	}{
		"claims are committed": {times: chunks, accepted: all - first, unknown: first, mailed: all - first,
			worker: func(b *blast, k *kill) *notify.Worker {
				return b.worker(func(context.Context, uuid.UUID, []sendgrid.Address) sendgrid.Result {
					k.die()
					return sendgrid.Result{}
				}, nil)
			}},
		"requests are made": {times: chunks, accepted: all - first, unknown: first, mailed: all,
			worker: func(b *blast, k *kill) *notify.Worker {
				return b.worker(func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
					b.sends.Send(ctx, id, to)
					k.die()
					return sendgrid.Result{}
				}, nil)
			}},
		"the first answers are stored": {times: chunks, accepted: first, unknown: all - first, mailed: all,
			worker: func(b *blast, k *kill) *notify.Worker {
				return b.worker(func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
					result := b.sends.Send(ctx, id, to)
					if len(to) == 1 { // the second request, for the shared address
						k.die()
					}
					return result
				}, nil)
			}},
		"all answers are stored": {times: 1, accepted: all, mailed: all,
			worker: func(b *blast, k *kill) *notify.Worker {
				var once sync.Once
				return b.worker(nil, func(ctx context.Context, all ...events.Event) (uint64, error) {
					once.Do(k.die)
					<-k.over.Done()
					return 0, ctx.Err()
				})
			}},
		"outcomes are published": {times: 1, accepted: all, mailed: all,
			worker: func(b *blast, k *kill) *notify.Worker {
				var once sync.Once
				return b.worker(nil, func(ctx context.Context, all ...events.Event) (uint64, error) {
					if _, err := b.record.Log.Publish(ctx, all...); err != nil {
						b.Error(err)
					}
					once.Do(k.die)
					<-k.over.Done()
					return 0, ctx.Err()
				})
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBlast(t, chunks, sendgridfake.Config{})
			k := newKill(t, c.times)
			b.killed(c.worker(b, k), k)
			b.handle(b.worker(nil, nil), upTo(chunks)...)
			b.verdict(c.accepted, 0, c.unknown, chunks)
			if b.fake.Count() != c.mailed {
				t.Errorf("SendGrid took %d alerts, want %d", b.fake.Count(), c.mailed)
			}
		})
	}
}

// Some outcomes of a group are stored already, though Postgres does not say so yet: the record
// stores the others, and none twice.
func TestSomeOutcomesOfAGroupAreStored(t *testing.T) {
	t.Parallel()
	b := newBlast(t, chunks, sendgridfake.Config{})
	largest := 0
	var mu sync.Mutex
	b.handle(b.worker(nil, func(ctx context.Context, all ...events.Event) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, len(all))
		if _, err := b.record.Log.Publish(ctx, all[0]); err != nil {
			return 0, err
		}
		return b.record.Log.Publish(ctx, all...)
	}), upTo(chunks)...)
	b.verdict(chunks*perChunk, 0, 0, chunks)
}

// SendGrid refuses the request of one chunk, and not before the outcomes of the other seven are
// recorded. That chunk is halved alone, and only the recipient at fault fails.
func TestARefusedChunkLeavesItsGroup(t *testing.T) {
	t.Parallel()
	const fault = "u9@x.test" // in chunk 3
	b := newBlast(t, chunks, sendgridfake.Config{RefuseWhole: func(address string) string {
		if address == fault {
			return "Bad Request"
		}
		return ""
	}})
	var mu sync.Mutex
	published := 0
	others := make(chan struct{})
	w := b.worker(func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		if slices.ContainsFunc(to, func(a sendgrid.Address) bool { return a.Email == fault }) {
			<-others
		}
		return b.sends.Send(ctx, id, to)
	}, func(ctx context.Context, all ...events.Event) (uint64, error) {
		seq, err := b.record.Log.Publish(ctx, all...)
		mu.Lock()
		defer mu.Unlock()
		if published += len(all); published == chunks-1 {
			close(others)
		}
		return seq, err
	})
	b.handle(w, upTo(chunks)...)
	b.verdict(chunks*perChunk-1, 1, 0, chunks)
}

// A pause begins while a group waits for SendGrid: its chunks are finished, and later ones wait
// until the pause ends.
func TestAPauseInTheMiddleOfGroups(t *testing.T) {
	t.Parallel()
	b := newBlast(t, chunks+3, sendgridfake.Config{})
	var once sync.Once
	change := func(body events.Body) { b.record.Says(t, b.event(body)) }
	w := b.worker(func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		once.Do(func() { change(events.AlertingPaused{Change: uuid.New(), MessageID: &b.message, Reason: "r"}) })
		return b.sends.Send(ctx, id, to)
	}, nil)
	b.handle(w, upTo(chunks)...)
	b.handle(w, chunks, chunks+1, chunks+2)
	if n := b.fake.Count(); n != chunks*perChunk {
		t.Errorf("SendGrid took %d alerts before the pause ended", n)
	}
	change(events.AlertingResumed{Change: uuid.New(), MessageID: &b.message, Reason: "r"})
	b.retryAll(w)
	b.verdict(len(b.events)*perChunk, 0, 0, len(b.events))
}

// A chunk of a group can't be loaded: the others are alerted.
func TestAChunkThatCantBeLoaded(t *testing.T) {
	t.Parallel()
	b := newBlast(t, chunks, sendgridfake.Config{})
	if err := b.record.Watcher.Wait(t.Context(), b.seqs[chunks-1]+1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.admin.Exec(t.Context(), `DELETE FROM record.chunks WHERE chunk = 3`); err != nil {
		t.Fatal(err)
	}
	w := b.worker(nil, nil)
	failed := make([]error, chunks)
	var handlers sync.WaitGroup
	for chunk := range b.events {
		handlers.Go(func() { failed[chunk] = w.Handle(t.Context(), b.events[chunk], b.seqs[chunk]) })
	}
	handlers.Wait()
	for chunk, err := range failed {
		if (err != nil) != (chunk == 3) {
			t.Errorf("chunk %d: %v", chunk, err)
		}
	}
	b.verdict((chunks-1)*perChunk, 0, 0, chunks-1)
}

// An answer of a group comes after another worker has declared it unknown: it is stored, and the
// outcome of that chunk is published by its row. The others don't wait for it.
func TestALateAnswerInAGroup(t *testing.T) {
	t.Parallel()
	b := newBlast(t, chunks, sendgridfake.Config{})
	w := b.worker(func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		result := b.sends.Send(ctx, id, to)
		if _, err := b.admin.Exec(ctx, `UPDATE app.attempts SET answer = 'unknown', answered_at = now() WHERE request_id = $1 AND chunk = 3`, id); err != nil {
			t.Error(err)
		}
		return result
	}, nil)
	b.handle(w, upTo(chunks)...)
	if n := b.outcomes(); n != chunks-1 {
		t.Errorf("%d outcomes are published", n)
	}
	b.retryAll(b.worker(nil, nil))
	b.verdict(chunks*perChunk, 0, 0, chunks)
}

// Two workers get the same chunks at once: each chunk is alerted by one of them.
func TestTwoWorkersWithOneGroup(t *testing.T) {
	t.Parallel()
	b := newBlast(t, chunks, sendgridfake.Config{})
	var both sync.WaitGroup
	for range 2 {
		w := b.worker(nil, nil)
		both.Go(func() {
			var handlers sync.WaitGroup
			for chunk := range b.events {
				handlers.Go(func() { _ = w.Handle(t.Context(), b.events[chunk], b.seqs[chunk]) }) // may find the claim taken
			}
			handlers.Wait()
		})
	}
	both.Wait()
	b.eachMailedOnce()
}
