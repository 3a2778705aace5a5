package torture

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content"
	"postern/internal/content/reader"
	"postern/internal/directory/audience"
	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/fanout"
	"postern/internal/giveup"
	"postern/internal/notify"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder"
	"postern/internal/recorder/position"
	"postern/internal/recorder/rebuild"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// The parts of a system. Each can crash and restart by itself.
const (
	partAPI      = "api"
	partFanout   = "fanout-worker"
	partNotify   = "notify-worker"
	partRecorder = "recorder"
)

// The numbers are the steps of docs/life-of-a-message.md. A crash leaves unknown alerts
// if SendGrid's answer to them is lost.
var commitPoints = []struct {
	name    string
	part    string
	crash   crash // tested before the step and after it
	held    bool  // the message waits for its release
	limited bool  // SendGrid limits the rate first, for longer than a handler waits
	before  bool  // a crash before the step leaves unknown alerts
	after   bool  // a crash after the step leaves unknown alerts
}{
	{name: "2 claim of the sender's key", part: partAPI, crash: crash{sql: "commit", since: "INSERT INTO app.message_content"}},
	{name: "2 publish message.sent", part: partAPI, crash: crash{publish: events.TypeMessageSent}},
	{name: "2 mark the claim as sent", part: partAPI, crash: crash{sql: "UPDATE app.sends"}},
	{name: "3 publish message.released", part: partRecorder, crash: crash{line: []string{"PUB record.message.released."}}, held: true},
	{name: "4 keep the manifest's key", part: partFanout, crash: crash{sql: "INSERT INTO app.manifest_keys"}},
	{name: "4 read the audience", part: partFanout, crash: crash{sql: "begin", since: "app.manifest_keys"}},
	{name: "4 publish audience.resolved", part: partFanout, crash: crash{publish: events.TypeAudienceResolved}},
	{name: "5 publish deliveries.created", part: partFanout, crash: crash{publish: events.TypeDeliveriesCreated}},
	{name: "5 publish fanout.completed", part: partFanout, crash: crash{publish: events.TypeFanoutCompleted}},
	{name: "5 acknowledge message.sent", part: partFanout, crash: crash{line: acked(eventlog.FanoutBulk)}},
	{name: "6 commit deliveries", part: partRecorder, crash: crash{sql: "commit", since: "deliveries.created"}},
	{name: "7 claim a request", part: partNotify, crash: crash{sql: "INSERT INTO app.attempts"}, after: true},
	{name: "7 call SendGrid", part: partNotify, crash: crash{call: true}, before: true, after: true},
	{name: "7 keep the answer", part: partNotify, crash: crash{sql: "UPDATE app.attempts"}, before: true},
	{name: "7 publish alerts.accepted", part: partNotify, crash: crash{publish: events.TypeAlertsAccepted}},
	{name: "7 acknowledge deliveries.created", part: partNotify, crash: crash{line: acked(eventlog.NotifyBulk)}},
	{name: "7 put alerts off", part: partNotify, crash: crash{sql: "INSERT INTO app.alert_work ("}, limited: true},
	{name: "7 forget that they were put off", part: partNotify, crash: crash{sql: "DELETE FROM app.alert_work"}, limited: true},
}

// One part crashes at each commit point of a message's processing, before and after it,
// and the next instance of that part finishes the message.
func TestCrashAtEachCommitPoint(t *testing.T) {
	t.Parallel()
	for _, p := range commitPoints {
		for _, after := range []bool{false, true} {
			when, unknown := "before", p.before
			if after {
				when, unknown = "after", p.after
			}
			c := p.crash
			c.after = after
			t.Run(p.name+"/"+when, func(t *testing.T) {
				t.Parallel()
				in := newInside(t)
				if p.limited {
					in.fake.Queue(sendgridfake.RateLimit(time.Minute))
					in.passWaits()
				}
				in.runMessage(p.part, &c, p.held)
				in.verdict(unknown)
			})
		}
	}
}

// inside is a system that runs in this process.
type inside struct {
	testing.TB
	server   *embedded.NATS
	log      *eventlog.Log
	url      string
	admin    *pgxpool.Pool
	content  *content.Store
	fake     *sendgridfake.Fake
	sends    *sendgrid.Client
	people   people
	message  uuid.UUID
	refusing atomic.Bool  // SendGrid refuses every second recipient
	ahead    atomic.Int64 // of the clock of the notify worker and SendGrid, in nanoseconds
}

func (in *inside) now() time.Time { return time.Now().Add(time.Duration(in.ahead.Load())) }

// passWaits moves the clock on to the time at which alerts that were put off are due, once every
// other chunk of the message has its outcome: retries run beside the consumer, and a crash in one
// of them would otherwise lose SendGrid's answer to a chunk that the consumer has in hand.
func (in *inside) passWaits() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	in.Cleanup(func() { stop(); running.Wait() })
	running.Go(func() {
		poll := time.NewTicker(20 * time.Millisecond)
		defer poll.Stop()
		for {
			var due time.Time
			err := in.admin.QueryRow(ctx, `SELECT due_at FROM app.alert_work WHERE due_at > $1
				AND EXISTS (SELECT FROM record.messages WHERE status = 'sent')
				AND NOT EXISTS (SELECT FROM record.chunks WHERE alert_state = 'pending' AND (message_id, chunk) NOT IN (SELECT message_id, chunk FROM app.alert_work))
				LIMIT 1`, in.now()).Scan(&due)
			if err == nil {
				in.ahead.Store(int64(time.Until(due) + time.Second))
			}
			select {
			case <-poll.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func newInside(t testing.TB) *inside {
	t.Helper()
	return newInsideOf(t, 1200, 0)
}

// newInsideOf makes a system with a number of portal users and a timeout of requests to
// SendGrid; 0 means the default timeout.
func newInsideOf(t testing.TB, people int, timeout time.Duration) *inside {
	t.Helper()
	return newInsideWith(t, people, insideConfig{timeout: timeout})
}

// insideConfig configures the stand-in for SendGrid and its client.
type insideConfig struct {
	refuse  func(address string) string // nil: half of the addresses while in.refusing is set
	now     func() time.Time            // nil: in.now
	timeout time.Duration               // of a request; 0: the default
}

func newInsideWith(t testing.TB, people int, with insideConfig) *inside {
	t.Helper()
	in := &inside{TB: t, server: natstest.Start(t), url: storetest.New(t), people: newPeople(people)}
	if with.refuse == nil {
		with.refuse = func(address string) string {
			if in.refusing.Load() && crc32.ChecksumIEEE([]byte(address))%2 == 0 {
				return "Does not contain a valid address."
			}
			return ""
		}
	}
	if with.now == nil {
		with.now = in.now
	}
	in.fake = sendgridfake.New(sendgridfake.Config{Now: with.now, Refuse: with.refuse})
	in.log = eventlogtest.Unchecked(t, in.server)
	in.admin = storetest.Open(t, in.url, store.RoleAdmin)
	key := filepath.Join(t.TempDir(), "content.key")
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	var err error
	if in.content, err = content.Open(t.Context(), t.TempDir(), key); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.content.Close() })
	web := httptest.NewServer(in.fake)
	t.Cleanup(func() { in.fake.Close(); web.Close() })
	in.sends, err = sendgrid.New(sendgrid.Config{BaseURL: web.URL, APIKey: "SG.torture", From: "alerts@clinic.example.test",
		PublicURL: "http://portal.example.test", Timeout: with.timeout, Now: with.now})
	if err != nil {
		t.Fatal(err)
	}
	in.importPeople()
	return in
}

func (in *inside) importPeople() {
	in.Helper()
	var ids, addresses []string
	var active []bool
	for i := range in.people.all {
		ids, addresses = append(ids, in.people.id(i)), append(addresses, in.people.address(i))
		active = append(active, !in.people.inactive(i))
	}
	_, err := in.admin.Exec(in.Context(), `
		INSERT INTO app.portal_users (portal_user_id, name, email, active)
		SELECT id, 'Given Family', address, active FROM unnest($1::text[], $2::text[], $3::boolean[]) AS p (id, address, active)`,
		ids, addresses, active)
	if err != nil {
		in.Fatal(err)
	}
}

// runMessage sends a message through all parts. One of them crashes and is started
// again.
func (in *inside) runMessage(part string, c *crash, held bool) {
	in.Helper()
	for _, other := range []string{partRecorder, partFanout, partNotify} {
		if other != part {
			in.startInstance(other, nil)
		}
	}
	key := uuid.NewString()
	if part != partAPI {
		first := in.startInstance(part, c)
		in.send(in.startInstance(partAPI, nil), key, held)
		in.awaitCrash(first)
		in.startInstance(part, nil)
	} else {
		first := in.startInstance(partAPI, c)
		first.run(func(ctx context.Context) error { _, err := in.compose(first).post(ctx, key, held); return err })
		in.awaitCrash(first)
		in.send(in.startInstance(partAPI, nil), key, held)
	}
	in.settle()
}

// settle waits until the message is processed completely.
func (in *inside) settle() {
	in.Helper()
	eventually(in, 20*time.Millisecond, "settling", in.state, func(ctx context.Context) bool {
		var settled bool
		err := in.admin.QueryRow(ctx, `
			SELECT status = 'sent' AND NOT EXISTS (SELECT FROM record.chunks WHERE alert_state = 'pending')
			   AND NOT EXISTS (SELECT FROM app.alert_work)
			FROM record.messages WHERE message_id = $1`, in.message).Scan(&settled)
		return err == nil && settled
	})
}

// awaitCrash waits until an instance has crashed.
func (in *inside) awaitCrash(l *instance) {
	in.Helper()
	select {
	case <-l.crashed:
	case <-time.After(giveup.After):
		in.Fatalf("the instance does not crash. %s", in.state())
	}
}

// startInstance starts an instance of a part, which crashes at c; nil: it does not.
func (in *inside) startInstance(part string, c *crash) *instance {
	in.Helper()
	l := newInstance(in, in.server, in.url, store.Role("postern_"+map[string]string{
		partAPI: "api", partFanout: "fanout", partNotify: "notify", partRecorder: "recorder"}[part]), c)
	watcher := position.NewWatcher(l.pool, nil)
	l.run(watcher.Run)
	switch part {
	case partFanout:
		w := fanout.New(fanout.Config{Pool: l.pool, Position: watcher, Content: in.content, Facts: facts.Publisher{Send: l.publish}})
		lane := func(bulk bool) consume.Handler {
			return func(ctx context.Context, e events.Event, seq uint64) error {
				if e.Type == events.TypeMessageReleased {
					return w.HandleReleased(ctx, e, seq, bulk)
				}
				return w.HandleSent(ctx, e, bulk)
			}
		}
		l.consume(4, eventlog.FanoutBulk, eventlog.FanoutDirect, lane)
	case partNotify:
		w := notify.New(notify.Config{Pool: l.pool, Position: watcher, Facts: facts.Publisher{Send: l.publish, Clock: in.now}, Send: l.call(in.sends.Send)})
		lane := func(bulk bool) consume.Handler {
			return func(ctx context.Context, e events.Event, seq uint64) error {
				if e.IsBulk() != bulk {
					return nil
				}
				return w.Handle(ctx, e, seq)
			}
		}
		l.run(w.RunPresence)
		l.run(w.RunRetries)
		// One chunk at a time, so that the crash affects only one.
		l.consume(1, eventlog.NotifyBulk, eventlog.NotifyDirect, lane)
	case partRecorder:
		l.run(recorder.New(recorder.Config{Log: l.log, Pool: l.pool}).Run)
	}
	return l
}

func (l *instance) consume(slots int, bulk, direct string, lane func(bulk bool) consume.Handler) {
	l.run(func(ctx context.Context) error {
		return consume.Run(ctx, l.log, parked.In(l.pool),
			consume.Lane{Consumer: bulk, Slots: slots, Handle: lane(true)}, consume.Lane{Consumer: direct, Slots: slots, Handle: lane(false)})
	})
}

// client sends messages through one instance of the api.
type client struct{ *compose.Composer }

func (in *inside) compose(l *instance) client {
	watcher := position.NewWatcher(l.pool, nil)
	l.run(watcher.Run)
	eventually(in, time.Millisecond, "a recorder that finds the stream whole", in.state, func(ctx context.Context) bool { return watcher.Intact(ctx) == nil })
	return client{compose.New(compose.Config{Pool: l.pool, Content: in.content, Reader: reader.New(reader.Config{Pool: l.pool, Content: in.content}), Intact: watcher.Intact, Facts: facts.Publisher{Source: "/api", Send: l.publish, Reached: watcher.Wait}})}
}

func (c client) post(ctx context.Context, key string, held bool) (compose.Answer, error) {
	staff := policy.Subject{Realm: policy.RealmStaff, ID: "s1", Permissions: policy.All}
	undo := 0
	if held {
		undo = 1
	}
	return c.Send(ctx, staff, key, compose.Request{Subject: "The practice is closed", Body: "On Monday.", UndoSeconds: &undo,
		Recipients: audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}}})
}

func (in *inside) send(l *instance, key string, held bool) {
	in.Helper()
	sent, err := in.compose(l).post(in.Context(), key, held)
	if err != nil {
		in.Fatal(err)
	}
	in.message = sent.ID
}

func (in *inside) verdict(unknown bool) {
	in.Helper()
	o := outcome{audience: in.people.audience, taken: in.fake.Counts()}
	if err := o.load(in.Context(), in.admin, in.message); err != nil {
		in.Fatal(err)
	}
	wrong, n := o.judge()
	for _, w := range wrong {
		in.Error(w)
	}
	if (n > 0) != unknown {
		in.Errorf("%d alerts are unknown", n)
	}
	var messages int
	if err := in.admin.QueryRow(in.Context(), `SELECT count(*) FROM record.messages`).Scan(&messages); err != nil || messages != 1 {
		in.Errorf("%d messages were sent, %v", messages, err)
	}
	tables(in.Context(), in, in.admin, in.message, o.states)
	compared, err := (&rebuild.Rebuild{Log: in.log, Pool: in.admin}).Check(in.Context())
	if err != nil {
		in.Fatal(err)
	}
	for _, c := range compared {
		if !c.Same() {
			in.Errorf("the table %s does not match the record", c.Table)
		}
	}
	eventlogtest.Check(in, in.log)
}

func (in *inside) state() string {
	var text string
	err := in.admin.QueryRow(context.Background(), `
		SELECT coalesce((SELECT json_agg(row_to_json(m)) FROM record.messages m)::text, 'no message')
		    || ' chunks: '  || coalesce((SELECT json_agg(json_build_array(chunk, alert_state)) FROM record.chunks)::text, '')
		    || ' claims: '  || coalesce((SELECT json_agg(json_build_array(chunk, request, answer)) FROM app.attempts)::text, '')
		    || ' waiting: ' || coalesce((SELECT json_agg(json_build_array(chunk, tries, reason)) FROM app.alert_work)::text, '')
		    || ' parked: '  || coalesce((SELECT json_agg(json_build_array(consumer, seq, reason)) FROM app.parked)::text, '')`).Scan(&text)
	var consumers string
	for _, c := range eventlog.ConsumerConfigs() {
		var info *jetstream.ConsumerInfo
		if consumer, err := in.log.JetStream().Consumer(context.Background(), eventlog.Stream, c.Durable); err == nil {
			info = consumer.CachedInfo()
			consumers += fmt.Sprintf(" %s: %d pending, %d in progress", c.Durable, info.NumPending, info.NumAckPending)
		}
	}
	return fmt.Sprintf("%s%s, %d alerts taken %v", text, consumers, in.fake.Count(), err)
}
