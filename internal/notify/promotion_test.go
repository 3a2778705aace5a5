package notify

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/notify/pause"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/replicatest"
	"postern/internal/store/storetest"
)

// failover is a worker over a Postgres that can fail over, and what it published.
type failover struct {
	*Worker
	pair  *replicatest.Pair
	admin *pgxpool.Pool
	fake  *sendgridfake.Fake
	chunk map[string]uuid.UUID // each a message of one chunk, to one portal user

	mu       sync.Mutex
	outcomes map[uuid.UUID][]events.AlertOutcome
	last     uint64
}

func newFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{pair: replicatest.New(t), fake: sendgridfake.New(sendgridfake.Config{}), chunk: map[string]uuid.UUID{}, outcomes: map[uuid.UUID][]events.AlertOutcome{}}
	url := f.pair.URL(t)
	f.admin = storetest.Open(t, url, store.RoleAdmin)
	server := httptest.NewServer(f.fake)
	t.Cleanup(server.Close)
	t.Cleanup(f.fake.Close)
	client, err := sendgrid.New(sendgrid.Config{BaseURL: server.URL, APIKey: "SG.test", From: "alerts@clinic.example.test", PublicURL: "https://portal.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f.Worker = New(Config{Pool: storetest.Open(t, url, store.RoleNotify), Send: client.Send,
		Last: func(context.Context) (uint64, error) { return f.last, nil },
		Facts: facts.Publisher{Send: func(_ context.Context, all ...events.Event) (uint64, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, e := range all {
				o, err := events.Decode[events.AlertOutcome](e)
				if err != nil {
					return 0, err
				}
				f.outcomes[o.MessageID] = append(f.outcomes[o.MessageID], o)
			}
			return f.last, nil
		}}})
	return f
}

func (f *failover) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := f.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// add makes a message of one chunk that can be read, at the next place on the record.
func (f *failover) add(t *testing.T, name string) {
	t.Helper()
	f.last++
	id := uuid.New()
	f.chunk[name] = id
	no := int(f.last) // #nosec G115 -- a small number
	f.exec(t, `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $2, $2 || '@x.test', true)`,
		no, fmt.Sprintf("pu-%d", no))
	f.exec(t, `INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk,
		sent_at, release_at, completed_at, delivered, audience) VALUES ($1, $2, 's', '{}', '[]', '', '', 'sent', 'none', true, now(), now(), now(), 1, 1)`, id, no)
	f.exec(t, `INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) VALUES ($1, 0, $2::integer, $2::integer, $2::integer, 1, now())`, id, no)
	f.exec(t, recordertest.Delivered(`VALUES ($1::uuid, $2::integer, 0, '{}'::integer[])`), id, no)
	f.exec(t, `UPDATE record.position SET seq = $1`, no)
}

func (f *failover) refOf(t *testing.T, name string) chunkRef {
	t.Helper()
	ref := chunkRef{message: f.chunk[name], chunks: 1}
	if err := f.admin.QueryRow(t.Context(), `SELECT seq FROM record.chunks WHERE message_id = $1`, ref.message).Scan(&ref.seq); err != nil {
		t.Fatal(err)
	}
	return ref
}

func (f *failover) alerts(t *testing.T, name string) {
	t.Helper()
	if err := f.alertOrDefer(t.Context(), f.refOf(t, name), 0); err != nil {
		t.Fatalf("alerting %s: %v", name, err)
	}
}

// record does what the recorder does with the outcome of a chunk.
func (f *failover) record(t *testing.T, name string) {
	t.Helper()
	o := f.outcomes[f.chunk[name]][0]
	f.exec(t, `UPDATE record.chunks SET alert_state = $2, alert_attempt = 1, alert_at = now() WHERE message_id = $1`, o.MessageID, o.State)
}

func (f *failover) claim(t *testing.T, name, answer string) {
	t.Helper()
	f.exec(t, `INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients, answer, answered_at)
		VALUES ($1, 0, 1, 0, gen_random_uuid(), gen_random_uuid(), '\x01', nullif($2, ''), CASE WHEN $2 <> '' THEN now() END)`, f.chunk[name], answer)
}

func (f *failover) hold(t *testing.T, name, why string) {
	t.Helper()
	f.exec(t, `INSERT INTO app.alert_work (message_id, chunk, kind, chunks, seq, due_at, tries, reason) VALUES ($1, 0, 'first', 1, $2, $3, 1, $4)`,
		f.chunk[name], f.refOf(t, name).seq, time.Now(), why)
	f.exec(t, `INSERT INTO record.pauses (message_id, reason, automatic, paused_by, paused_at) VALUES ($1, 'r', false, 'p', now())`, f.chunk[name])
}

func (f *failover) states(t *testing.T) map[string]string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	got := map[string]string{}
	for name, id := range f.chunk {
		for _, o := range f.outcomes[id] {
			got[name] += string(o.State) + " "
		}
	}
	return got
}

// settleAll waits until the worker has noticed and settled the failover.
func (f *failover) settleAll(t *testing.T) {
	t.Helper()
	f.settledBy(t, f.Worker)
}

func (f *failover) settledBy(t *testing.T, w *Worker) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(giveup.After); ; {
		_ = w.settlePromotion(t.Context()) // broken connections of before
		if settled, err := w.isSettled(t.Context()); err == nil && settled {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("it is not settled")
		}
	}
}

// Each case of an alert whose commits a failover to a lagging replica can lose, with its
// outcome: an alert that may have been sent is unknown, its recipient is named, and no
// recipient is alerted twice.
func TestAFailoverNamesWhatItMayHaveLost(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	for _, name := range []string{"recorded", "claim lost", "claim and outcome lost", "never begun", "held all along", "held, resumed since", "waited, its row lost",
		"accepted, claim kept", "claim kept, no answer", "again, claim kept", "repeated, part lost", "to be repeated",
		"recalled since", "its portal user lost", "deactivated since", "no address"} {
		f.add(t, name)
	}
	f.keepEvent(t, "its portal user lost")
	f.alerts(t, "recorded")
	f.record(t, "recorded")
	f.claim(t, "accepted, claim kept", "accepted")
	f.claim(t, "claim kept, no answer", "")
	f.claim(t, "again, claim kept", "again")
	f.hold(t, "held all along", pause.ReasonPaused)
	f.hold(t, "held, resumed since", pause.ReasonPaused)
	replay := f.replay(t, 60, "repeated, part lost", "to be repeated")

	// A restart and a crash are not a failover.
	if err := f.pair.Primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.await(t)
	f.settleAll(t)
	if got := f.states(t); len(got) != 1 || got["recorded"] != "accepted " {
		t.Fatalf("after a restart: %v", got)
	}
	f.pair.Lag(t)
	f.alerts(t, "claim lost")
	f.alerts(t, "claim and outcome lost")
	if cut, err := f.replays.Take(t.Context()); err != nil || !cut {
		t.Fatal(cut, err)
	}
	if ran, err := f.runDue(t.Context(), kindReplay); err != nil || !ran {
		t.Fatal(ran, err)
	}
	f.fake.Queue(sendgridfake.RateLimit(time.Hour))
	f.alerts(t, "waited, its row lost")
	f.closed = time.Time{}
	sent := f.fake.Counts()
	if f.fake.Count() != 4 {
		t.Fatalf("SendGrid has %v", sent)
	}
	// This outcome is not on the record.
	delete(f.outcomes, f.chunk["claim lost"])
	delete(f.outcomes, f.chunk["repeated, part lost"])
	f.pair.FailOver(t)

	// The recorder restores the recorded outcomes, but has not reached them yet.
	f.await(t)
	f.exec(t, `UPDATE record.position SET seq = $1`, f.last-1)
	for range 3 {
		if err := f.settlePromotion(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if settled, err := f.isSettled(t.Context()); err != nil || settled {
		t.Fatalf("it is settled before the recorder has caught up: %v, %v", settled, err)
	}
	c := claim{id: uuid.New(), claimedBy: f.id, positions: []int{0}}
	if claimed, err := c.insert(t.Context(), f.Pool, f.refOf(t, "claim lost")); err != nil || claimed {
		t.Errorf("a request is claimed before it is settled: %v, %v", claimed, err)
	}
	f.record(t, "claim and outcome lost")
	for name, sql := range map[string]string{
		"recalled since":       `UPDATE record.messages SET status = 'recalled', recalled_at = now() WHERE message_id = $1`,
		"deactivated since":    `UPDATE app.portal_users SET active = false WHERE portal_user_no = (SELECT first_no FROM record.chunks WHERE message_id = $1)`,
		"no address":           `UPDATE app.portal_users SET email = '' WHERE portal_user_no = (SELECT first_no FROM record.chunks WHERE message_id = $1)`,
		"its portal user lost": `DELETE FROM app.portal_users WHERE portal_user_no = (SELECT first_no FROM record.chunks WHERE message_id = $1)`,
	} {
		f.exec(t, sql, f.chunk[name])
	}
	f.exec(t, `DELETE FROM record.pauses WHERE message_id = $1`, f.chunk["held, resumed since"])
	f.exec(t, `INSERT INTO record.events (seq, type, actor, message_id, projected, leaf, stored) VALUES ($1, 'alerting.resumed', 'a', $2, true, '', '')`,
		f.last, f.chunk["held, resumed since"])
	f.exec(t, `UPDATE record.position SET seq = $1`, f.last)

	// Several workers settle the failover at once, and one dies while doing so.
	stopped, stop := context.WithCancel(t.Context())
	publish := f.Facts.Send
	var published int
	f.Facts.Send = func(ctx context.Context, all ...events.Event) (uint64, error) {
		if published++; published == 3 {
			stop()
			return 0, context.Canceled
		}
		return publish(ctx, all...)
	}
	if err := f.settlePromotion(stopped); err == nil {
		t.Error("it was not stopped")
	}
	f.Facts.Send = publish
	var all sync.WaitGroup
	for range 3 {
		other := New(f.Config)
		all.Go(func() { _ = other.settlePromotion(t.Context()) }) // one may find that another settles it
	}
	all.Wait()
	f.settleAll(t)

	f.add(t, "after the failover")
	f.alerts(t, "after the failover")
	f.exec(t, `DELETE FROM record.pauses`)
	if err := f.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name := range f.chunk { // delivered again, as after a lost acknowledgement
		f.alerts(t, name)
	}
	want := map[string]string{"recorded": accepted, "claim lost": unknown, "claim and outcome lost": accepted, "never begun": unknown,
		"held all along": accepted, "held, resumed since": unknown, "waited, its row lost": unknown, "accepted, claim kept": accepted,
		"claim kept, no answer": unknown, "again, claim kept": unknown, "repeated, part lost": unknown, "to be repeated": unknown, "after the failover": accepted,
		"recalled since": unknown, "deactivated since": unknown, "no address": skipped, "its portal user lost": unknown}
	got := map[string]string{}
	for name, id := range f.chunk {
		for _, o := range f.outcomes[id] {
			if got[name] != "" && got[name] != string(o.State) {
				t.Errorf("%s became %s and %s", name, got[name], o.State)
			}
			got[name] = string(o.State)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes of the alerts (-want +got):\n%s", diff)
	}
	if o := f.outcomes[f.chunk["claim lost"]][0]; o.Reason != reasonPromoted {
		t.Errorf("it is unknown because %s", o.Reason)
	}
	for address, n := range f.fake.Counts() {
		if n > 1 {
			t.Errorf("%s was mailed %d times", address, n)
		}
	}
	f.checkParts(t, replay)
}

// Postgres fails over while a worker waits for SendGrid's answer, and its claim is lost.
// The worker still runs and stores the answer: whether the failover is settled before or after
// that, the record says that the alert was accepted, and no second one is sent.
func TestAnAnswerInHandOutlivesAFailover(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"settled after the answer": false, "settled before the answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFailover(t)
			f.add(t, "in hand")
			f.pair.Lag(t)
			send := f.Send
			f.Send = func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
				result := send(ctx, id, to)
				f.pair.FailOver(t)
				f.await(t)
				if before {
					f.settledBy(t, New(f.Config))
					if got := f.outcomes[f.chunk["in hand"]]; len(got) != 1 || got[0].State != events.AlertUnknown {
						t.Errorf("it was settled as %v", got)
					}
					f.record(t, "in hand")
				}
				return result
			}
			f.alerts(t, "in hand")
			f.settleAll(t)
			if err := f.retryDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := f.outcomes[f.chunk["in hand"]]
			if len(all) == 0 || all[len(all)-1].State != events.AlertAccepted || f.fake.Count() != 1 {
				t.Errorf("%d alerts were sent, the outcomes are %v", f.fake.Count(), all)
			}
			var answers []string
			if err := f.admin.QueryRow(t.Context(), `SELECT array_agg(answer ORDER BY answer) FROM app.attempts`).Scan(&answers); err != nil {
				t.Fatal(err)
			}
			if want := map[bool][]string{false: {accepted}, true: {accepted, unknown}}[before]; !cmp.Equal(want, answers) {
				t.Errorf("the claims say %v, want %v", answers, want)
			}
		})
	}
}

// A part of a replay that a failover lost with its claim is restored with the answer, and
// makes no further request.
func TestALostPartIsRestored(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	ref := p.ref
	ref.part = &part{nr: 7, replay: uuid.New(), attempt: 2, nos: []int32{1, 2}}
	c := claim{request: 1, id: uuid.New(), claimedBy: p.id, positions: []int{0}, answer: answerAccepted}
	for range 2 {
		if late, err := c.restore(t.Context(), p.Pool, ref); err != nil || late {
			t.Fatal(late, err)
		}
	}
	var claims, parts int
	err := p.admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.attempts WHERE part = 7 AND request = 1 AND answer = 'accepted'),
		(SELECT count(*) FROM app.alert_work WHERE part = 7 AND wound_up AND done_at IS NULL AND recipients = '{1,2}')`).Scan(&claims, &parts)
	if err != nil || claims != 1 || parts != 1 {
		t.Errorf("%d claims, %d parts, %v", claims, parts, err)
	}
}

// The outcome of a part is recorded once the record has its attempt, or a later one, at the
// alert of one of its recipients.
func TestAPartWithARecordedOutcomeIsKnown(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	p.exec(t, `UPDATE record.chunks SET alert_state = 'failed', alert_attempt = 1, alert_at = now()`)
	ref := p.ref
	ref.part = &part{nr: 7, replay: uuid.New(), attempt: 2, nos: []int32{1, 2}}
	for _, c := range []struct {
		no, attempt int
		want        bool
	}{{1, 1, false}, {3, 2, false}, {2, 2, true}, {1, 3, true}} {
		p.exec(t, `TRUNCATE record.alert_exceptions`)
		p.exec(t, `INSERT INTO record.alert_exceptions (message_id, portal_user_no, chunk, state, reason, attempt, at) VALUES ($1, $2, 0, 'failed', '', $3, now())`,
			ref.message, c.no, c.attempt)
		if known, err := p.isKnown(t.Context(), ref); err != nil || known != c.want {
			t.Errorf("attempt %d at the alert of portal user %d is recorded: known is %v, %v", c.attempt, c.no, known, err)
		}
	}
}

// keepEvent keeps the event of a chunk, as the recorder does.
func (f *failover) keepEvent(t *testing.T, name string) {
	t.Helper()
	ref := f.refOf(t, name)
	no := int32(ref.seq) // #nosec G115 -- a small number
	e, err := events.New(source, actor, time.Now(), events.DeliveriesCreated{MessageID: ref.message,
		Recipients: []events.Recipient{{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no}}})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := merkle.Pack(&merkle.Stored{Seq: ref.seq, Subject: e.Type.Filter(), Data: e.Data})
	if err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO record.events (seq, type, actor, message_id, projected, leaf, stored) VALUES ($1, 'deliveries.created', 'a', $2, true, '', $3)`,
		ref.seq, ref.message, stored)
}

// await waits until both pools reach the server again.
func (f *failover) await(t *testing.T) {
	t.Helper()
	f.admin.Reset() // its connections are to a server that is gone
	f.Pool.Reset()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(giveup.After); f.admin.Ping(t.Context()) != nil || f.Pool.Ping(t.Context()) != nil; {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the promoted server can't be reached")
		}
	}
}

// replay makes a running replay of failed alerts.
func (f *failover) replay(t *testing.T, rate int, names ...string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	f.exec(t, `INSERT INTO record.replays (replay_id, seq, filter, reason, count, digest, by_reason, excluded, status, planned_at, planned_by, started_at, rate)
		VALUES ($1, 1, '{}', 'r', $2, '', '{}', '{}', 'running', now(), 'p', now(), $3)`, id, len(names), rate)
	f.exec(t, `INSERT INTO app.replay_pace (replay_id) VALUES ($1)`, id)
	for i, name := range names {
		f.exec(t, `UPDATE record.chunks SET alert_state = 'failed', alert_reason = 'away', alert_attempt = 1, alert_at = now() WHERE message_id = $1`, f.chunk[name])
		f.exec(t, `INSERT INTO app.replay_sets (replay_id, nr, message_id, chunk, chunks, attempt, recipients)
			SELECT $1, $2, $3, 0, 1, 1, array_agg(portal_user_no) FROM record.deliveries WHERE message_id = $3`, id, i, f.chunk[name])
	}
	return id
}

// checkParts checks that no part has the number of a lost part, and that all are closed.
func (f *failover) checkParts(t *testing.T, replay uuid.UUID) {
	t.Helper()
	var parts, open int
	var least int64
	err := f.admin.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE done_at IS NULL), coalesce(min(part), 0) FROM app.alert_work WHERE replay_id = $1`,
		replay).Scan(&parts, &open, &least)
	if err != nil || parts != 2 || open != 0 || least < 1_000_000 {
		t.Errorf("%d parts, %d of them open, the first is %d: %v", parts, open, least, err)
	}
}

// Postgres restored from older files has the same timeline. The recorder's position shows the
// restore: it is behind events for which this worker has claimed requests, or which all
// workers have acknowledged to NATS.
func TestARestoreFromOlderFilesIsNoticed(t *testing.T) {
	t.Parallel()
	for name, began := range map[string]bool{"under a worker": true, "before a worker begins": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t, sendgridfake.Config{})
			config := p.Config
			config.Last = func(context.Context) (uint64, error) { return 2, nil }
			config.Acked = func(context.Context) (uint64, error) { return 0, nil }
			first := New(config)
			if err := first.alertOrDefer(t.Context(), p.ref, 0); err != nil || p.fake.Count() != 4 {
				t.Fatalf("%d alerts were sent, %v", p.fake.Count(), err)
			}
			p.exec(t, `UPDATE record.messages SET audience = 5`)
			p.exec(t, `TRUNCATE app.attempts`)
			p.exec(t, `UPDATE record.position SET seq = 0`)
			w := first
			if !began {
				config.Acked = func(context.Context) (uint64, error) { return 1, nil }
				w = New(config)
			}
			if settled, err := w.isSettled(t.Context()); err != nil || settled {
				t.Fatalf("it is settled: %v, %v", settled, err)
			}
			c := claim{id: uuid.New(), claimedBy: w.id, positions: []int{0}}
			if claimed, err := c.insert(t.Context(), w.Pool, p.ref); err != nil || claimed {
				t.Errorf("a request is claimed before it is settled: %v, %v", claimed, err)
			}
			for _, at := range []int{0, 1, 2} { // the recorder catches up
				p.exec(t, `UPDATE record.position SET seq = $1`, at)
				if err := w.settlePromotion(t.Context()); err != nil {
					t.Fatal(err)
				}
				if settled, err := w.isSettled(t.Context()); err != nil || settled != (at == 2) {
					t.Errorf("at event %d: settled is %v, %v", at, settled, err)
				}
			}
			want := map[string]string{"a": unknown, "b": unknown, "c": unknown, "d": unknown, "e": unknown}
			if diff := cmp.Diff(want, p.became(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if o := p.outcomes[len(p.outcomes)-1]; o.Reason != reasonPutBack {
				t.Errorf("the reason is %s", o.Reason)
			}
			if err := w.alertOrDefer(t.Context(), p.ref, 0); err != nil || p.fake.Count() != 4 {
				t.Errorf("%d alerts were sent, %v", p.fake.Count(), err)
			}
		})
	}
}

// After a crash of Postgres the position may be behind for a moment, but never behind an
// event for which a request was claimed: a crash does not count as a restore.
func TestAPositionThatIsBehindOtherEventsIsNoRestore(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	p.Acked = func(context.Context) (uint64, error) { return 1, nil }
	p.exec(t, `UPDATE record.position SET seq = 7`)
	p.run(t)
	p.exec(t, `UPDATE record.position SET seq = 1`)
	if settled, err := p.isSettled(t.Context()); err != nil || !settled {
		t.Errorf("settled is %v, %v", settled, err)
	}
}

// A crash of Postgres between reading a chunk and claiming its request can move the position
// back to before the chunk, because the recorder does not wait for the disk. No request is
// claimed until the recorder has reached the chunk again: a claim implies that the position
// was kept.
func TestNoRequestIsClaimedAheadOfTheRecorder(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	work, err := load(t.Context(), p.Pool, p.ref)
	if err != nil {
		t.Fatal(err)
	}
	p.exec(t, `UPDATE record.position SET seq = 0`)
	if _, err := p.request(t.Context(), work, []int{0}); err == nil {
		t.Error("a request was made for a chunk that the recorder has not reached")
	}
	if settled, err := p.isSettled(t.Context()); err != nil || !settled {
		t.Fatalf("settled is %v, %v", settled, err)
	}
	p.exec(t, `UPDATE record.position SET seq = 1`)
	if got := p.run(t); got["a"] != accepted {
		t.Errorf("after that, %v", got)
	}
}

// If the database was lost, the directory is lost too: all alerts without an outcome are
// unknown. Replays whose plan was lost end.
func TestALostDatabaseNamesAllAlertsThatWaited(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	p.Last = func(context.Context) (uint64, error) { return 9, nil }
	p.exec(t, `UPDATE record.messages SET audience = 5`)
	p.exec(t, `UPDATE app.portal_users SET email = '', active = false`)
	p.exec(t, `SELECT app.unsettle('lost', 1)`)
	var replays []uuid.UUID
	for _, status := range []string{"planned", "running", "paused", "cancelled"} {
		id := uuid.New()
		replays = append(replays, id)
		p.exec(t, `INSERT INTO record.replays (replay_id, seq, filter, reason, count, accepted, digest, by_reason, excluded, status, planned_at, planned_by, started_at, ended_at)
			VALUES ($1, 1, '{}', 'r', 5, 2, '', '{}', '{}', $2, now(), 'p', CASE WHEN $2 <> 'planned' THEN now() END, CASE WHEN $2 = 'cancelled' THEN now() END)`, id, status)
	}
	if err := p.settlePromotion(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": unknown, "b": unknown, "c": unknown, "d": unknown, "e": unknown}
	if diff := cmp.Diff(want, p.became(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if o := p.outcomes[0]; o.Reason != reasonLost {
		t.Errorf("the reason is %s", o.Reason)
	}
	for i, id := range replays {
		var ended bool
		var leftOut int
		err := p.admin.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM app.replay_pace WHERE replay_id = $1 AND taken),
			(SELECT coalesce(sum(alerts), 0) FROM app.replay_left_out WHERE replay_id = $1 AND reason = $2)`, id, events.LeftOutLost).Scan(&ended, &leftOut)
		if want := i < 3; err != nil || ended != want || leftOut != map[bool]int{true: 3}[want] {
			t.Errorf("replay %d: ended is %v, %d are left out, %v", i, ended, leftOut, err)
		}
	}
	if p.fake.Count() != 0 {
		t.Errorf("%d alerts were sent", p.fake.Count())
	}
}

// After a failover no number is given again that may be on the record: a message that was
// delivered to one portal user is never shown to another.
func TestNoNumberIsGivenTwice(t *testing.T) {
	t.Parallel()
	pair := replicatest.New(t)
	pool := storetest.Open(t, pair.URL(t), store.RoleAPI)
	add := func(id string) (person, patient int) {
		t.Helper()
		err := pool.QueryRow(t.Context(), `
			WITH u AS (INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ($1, $1, '', true) RETURNING portal_user_no),
			     p AS (INSERT INTO app.patients (patient_id, given_name, family_name, status) VALUES ($1, $1, '', 'active') RETURNING patient_no)
			SELECT portal_user_no, patient_no FROM u, p`, id).Scan(&person, &patient)
		if err != nil {
			t.Fatal(err)
		}
		return person, patient
	}
	add("before")
	pair.Lag(t)
	var lost, lostPatient int
	for i := range 100 { // more than Postgres logs ahead
		lost, lostPatient = add(fmt.Sprint("lost-", i))
	}
	pair.FailOver(t)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(giveup.After); pool.Ping(t.Context()) != nil; {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the promoted server can't be reached")
		}
	}
	if person, patient := add("after"); person <= lost || patient <= lostPatient {
		t.Errorf("portal user %d and patient %d have numbers that may have been given before, up to %d and %d", person, patient, lost, lostPatient)
	}
}
