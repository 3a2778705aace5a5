package notify

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/notify/unsubscribe"
	"postern/internal/recorder/position"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// post is a worker with the SendGrid that it calls and the record that it writes to.
type post struct {
	*Worker
	fake  *sendgridfake.Fake
	admin *pgxpool.Pool
	ref   chunkRef

	mu       sync.Mutex
	outcomes []events.AlertOutcome
	now      time.Time
}

// newPost has one chunk of a message that can be read by five portal users, two
// of whom share an address.
func newPost(t *testing.T, config sendgridfake.Config) *post {
	t.Helper()
	url := storetest.New(t)
	p := &post{fake: sendgridfake.New(config), admin: storetest.Open(t, url, store.RoleAdmin), now: time.Now(),
		ref: chunkRef{message: uuid.New(), chunks: 1, seq: 1}}
	server := httptest.NewServer(p.fake)
	t.Cleanup(server.Close)
	t.Cleanup(p.fake.Close)
	client, err := sendgrid.New(sendgrid.Config{BaseURL: server.URL, APIKey: "SG.test", From: "alerts@clinic.example.test",
		PublicURL: "https://portal.example.test", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p.Worker = p.another(storetest.Open(t, url, store.RoleNotify), client)
	_, err = p.admin.Exec(t.Context(), `
		INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE VALUES
			(1, 'a', 'A', 'a@x.test', true), (2, 'b', 'B', 'family@x.test', true), (3, 'c', 'C', 'Family@x.test', true),
			(4, 'd', 'D', '', true), (5, 'e', 'E', 'e@x.test', true)`)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk,
			sent_at, release_at, completed_at, delivered) VALUES ($1, 1, 's', '{}', '[]', '', '', 'sent', 'none', true, now(), now(), now(), 5)`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) VALUES ($1, 0, 1, 1, 5, 5, now())`,
		recordertest.Delivered(`SELECT $1::uuid, n, 0, '{}'::integer[] FROM generate_series(1, 5) n`),
		`UPDATE record.position SET seq = 1 WHERE $1::uuid IS NOT NULL`,
	} {
		if _, err := p.admin.Exec(t.Context(), sql, p.ref.message); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// another makes a worker, as of another process.
func (p *post) another(pool *pgxpool.Pool, client *sendgrid.Client) *Worker {
	return New(Config{Pool: pool, Position: position.NewWatcher(pool, nil), Send: client.Send,
		Facts: facts.Publisher{Send: func(_ context.Context, evs ...events.Event) (uint64, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, e := range evs {
				o, err := events.Decode[events.AlertOutcome](e)
				if err != nil {
					return 0, err
				}
				p.outcomes = append(p.outcomes, o)
			}
			return 1, nil
		}, Clock: func() time.Time {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.now
		}}})
}

// run alerts the chunk and returns the result of each portal user; nil where the chunk
// waits.
func (p *post) run(t *testing.T) map[string]string {
	t.Helper()
	if err := p.alertOrDefer(t.Context(), p.ref, 0); err != nil {
		t.Fatal(err)
	}
	return p.became(t)
}

func (p *post) became(t *testing.T) map[string]string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.outcomes) == 0 {
		return nil
	}
	o := p.outcomes[len(p.outcomes)-1]
	if o.Recipients != 5 {
		t.Errorf("the outcome is of %d recipients", o.Recipients)
	}
	got := map[string]string{}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		got[id] = string(o.State)
	}
	for _, x := range o.Exceptions {
		got[x.PortalUserID] = string(x.State)
	}
	return got
}

const (
	accepted = string(events.AlertAccepted)
	failed   = string(events.AlertFailed)
	skipped  = string(events.AlertSkipped)
	unknown  = string(events.AlertUnknown)
)

// Whatever SendGrid answers, no recipient whose alert it accepted is alerted again.
func TestWhatBecomesOfAnAlert(t *testing.T) {
	all := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
	for name, c := range map[string]struct {
		config sendgridfake.Config
		steps  []sendgridfake.Step
		want   map[string]string
		taken  int
	}{
		"it takes all":                {want: all, taken: 4},
		"5xx at first":                {steps: []sendgridfake.Step{sendgridfake.Fail(500), sendgridfake.Fail(503)}, want: all, taken: 4},
		"a reset before it reads":     {steps: []sendgridfake.Step{sendgridfake.ResetUnread()}, want: nil, taken: -1},
		"a reset after it took it":    {steps: []sendgridfake.Step{sendgridfake.ResetAfter()}, want: map[string]string{"a": unknown, "b": unknown, "c": accepted, "d": skipped, "e": unknown}, taken: 4},
		"no answer after it took it":  {steps: []sendgridfake.Step{sendgridfake.TimeoutAfter(nil)}, want: map[string]string{"a": unknown, "b": unknown, "c": accepted, "d": skipped, "e": unknown}, taken: 4},
		"no answer and nothing taken": {steps: []sendgridfake.Step{sendgridfake.TimeoutBefore(nil)}, want: map[string]string{"a": unknown, "b": unknown, "c": accepted, "d": skipped, "e": unknown}, taken: 1},
		"one address is refused": {
			config: sendgridfake.Config{Refuse: func(a string) string {
				if a == "e@x.test" {
					return "Does not contain a valid address."
				}
				return ""
			}},
			want: map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": failed}, taken: 3},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, c.config)
			p.fake.Queue(c.steps...)
			got := p.run(t)
			if c.want != nil {
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			if n := p.fake.Count(); c.taken >= 0 && n != c.taken {
				t.Errorf("SendGrid took %d alerts, want %d", n, c.taken)
			}
			for address, n := range p.fake.Counts() {
				if n > 1 && address != "family@x.test" {
					t.Errorf("%s was mailed %d times", address, n)
				}
			}
			// Given the chunk again, as after a lost acknowledgement, it sends no alert.
			before := p.fake.Count()
			p.run(t)
			if p.fake.Count() != before {
				t.Error("a recipient was alerted again")
			}
		})
	}
}

// No alert is sent to an address that was reported as dead, until the address changes.
func TestADeadAddressIsNotMailed(t *testing.T) {
	for version, want := range map[int]string{0: skipped, 1: accepted} {
		p := newPost(t, sendgridfake.Config{})
		if _, err := p.admin.Exec(t.Context(), `INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
			VALUES (5, 0, now(), '550 no such mailbox', 'r')`); err != nil {
			t.Fatal(err)
		}
		if _, err := p.admin.Exec(t.Context(), `UPDATE app.portal_users SET email_version = $1 WHERE portal_user_no = 5`, version); err != nil {
			t.Fatal(err)
		}
		if got := p.run(t)["e"]; got != want || (p.fake.ByAddress("e@x.test") == 1) != (want == accepted) {
			t.Errorf("at version %d it became %s", version, got)
		}
	}
}

// No alert is sent to someone who opted out, whose delivery says why. All others get a link to opt
// out, which is theirs.
func TestWhoOptedOutIsNotMailed(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	if _, err := p.admin.Exec(t.Context(), `INSERT INTO record.alert_opt_outs VALUES (5, 'portal', now())`); err != nil {
		t.Fatal(err)
	}
	key, err := unsubscribe.LoadKey(t.Context(), p.Pool)
	if err != nil {
		t.Fatal(err)
	}
	p.Unsubscribe = &key
	var mu sync.Mutex
	links := map[string]string{}
	send := p.Send
	p.Send = func(ctx context.Context, request uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range to {
			links[a.Email] = a.Unsubscribe
		}
		return send(ctx, request, to)
	}
	if got := p.run(t); got["e"] != skipped || got["a"] != accepted || p.fake.ByAddress("e@x.test") != 0 {
		t.Errorf("%v", got)
	}
	if links["a@x.test"] != string(key.Append(nil, 1, "a@x.test")) || links["Family@x.test"] == links["family@x.test"] {
		t.Errorf("the links are %v", links)
	}
}

// Each recipient gets the alert in the language that they chose, and a request has one language.
func TestAlertsAreInTheLanguageOfTheRecipient(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	if _, err := p.admin.Exec(t.Context(), `INSERT INTO app.portal_accounts (portal_user_no, password_hash, language)
		VALUES (1, 'x', 'en'), (2, 'x', 'es'), (3, 'x', NULL), (5, 'x', 'es')`); err != nil {
		t.Fatal(err)
	}
	for id, state := range p.run(t) {
		if (state == accepted) != (id != "d") {
			t.Errorf("the alert of %s became %s", id, state)
		}
	}
	got := map[string]string{}
	requests := map[uuid.UUID]bool{}
	for m := range p.fake.Accepted() {
		got[m.To] = m.Letter.Subject
		requests[m.Attempt] = true
	}
	const english, spanish = "You have a new secure message", "Tiene un nuevo mensaje seguro"
	want := map[string]string{"a@x.test": english, "family@x.test": spanish, "Family@x.test": english, "e@x.test": spanish}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the subjects (-want +got):\n%s", diff)
	}
	if len(requests) != 2 {
		t.Errorf("%d requests, want one for each language", len(requests))
	}
}

// A rate limit is obeyed until its reset: until then the chunk waits as a row and no alert
// is sent; after it, all are sent.
func TestARateLimitIsObeyed(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	p.fake.Queue(sendgridfake.RateLimit(time.Minute))
	if got := p.run(t); got != nil {
		t.Fatalf("an outcome was published: %v", got)
	}
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(p.fake.Requests()); n != 1 {
		t.Fatalf("SendGrid was called %d times before its reset", n)
	}
	p.mu.Lock()
	p.now = p.now.Add(2 * time.Minute)
	p.mu.Unlock()
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.became(t)["a"]; got != accepted || p.fake.Count() != 4 {
		t.Errorf("a became %q, %d were taken", got, p.fake.Count())
	}
	var waiting int
	if err := p.admin.QueryRow(t.Context(), `SELECT count(*) FROM app.alert_work`).Scan(&waiting); err != nil || waiting != 0 {
		t.Errorf("%d chunks still wait, %v", waiting, err)
	}
}

// If SendGrid is unavailable for longer than a handler waits, the chunk becomes a row.
func TestSendGridIsAway(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	for range handlerTries {
		p.fake.Queue(sendgridfake.Fail(502))
	}
	if got := p.run(t); got != nil {
		t.Fatalf("an outcome was published: %v", got)
	}
	p.mu.Lock()
	p.now = p.now.Add(time.Hour)
	p.mu.Unlock()
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.became(t)["a"]; got != accepted || p.fake.Count() != 4 {
		t.Errorf("a became %q, %d were taken", got, p.fake.Count())
	}
}

// No recipient's alert fails because SendGrid refuses the key.
func TestARefusedKeyIsForTheOperator(t *testing.T) {
	p := newPost(t, sendgridfake.Config{APIKey: "SG.another"})
	if got := p.run(t); got != nil {
		t.Errorf("an outcome was published: %v", got)
	}
}

// A worker died between its claim and SendGrid's answer: the recipients of the claim are
// unknown and not alerted; the others are alerted.
func TestAClaimWithoutAnAnswerIsUnknown(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	dead := claim{request: 0, id: uuid.New(), claimedBy: uuid.New(), positions: []int{0, 1}}
	if ok, err := dead.insert(t.Context(), p.Pool, p.ref); err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := map[string]string{"a": unknown, "b": unknown, "c": accepted, "d": skipped, "e": accepted}
	if diff := cmp.Diff(want, p.run(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The worker was only slow: its answer replaces unknown.
	dead.answer = answerAccepted
	if late, _, err := dead.settle(t.Context(), p.Pool, p.ref); err != nil || !late {
		t.Fatal(late, err)
	}
	want["a"], want["b"] = accepted, accepted
	if diff := cmp.Diff(want, p.run(t)); diff != "" {
		t.Errorf("after its answer (-want +got):\n%s", diff)
	}
}

func TestARecalledMessageSendsNoAlert(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	if _, err := p.admin.Exec(t.Context(), `UPDATE record.messages SET status = 'recalled', recalled_at = now(), recall_reason = 'r'`); err != nil {
		t.Fatal(err)
	}
	if got := p.run(t); got["a"] != skipped || p.fake.Count() != 0 {
		t.Errorf("a became %q, %d were taken", got["a"], p.fake.Count())
	}
}

// Two workers work on one chunk: only one can make a claim, so each recipient is alerted
// once.
func TestTwoWorkersWithOneChunk(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	other := New(p.Config)
	var both sync.WaitGroup
	for _, w := range []*Worker{p.Worker, other} {
		both.Go(func() { _ = w.alertOrDefer(t.Context(), p.ref, 0) }) // one may find the claim taken
	}
	both.Wait()
	for address, n := range p.fake.Counts() {
		if n > 1 && address != "family@x.test" || n > 2 {
			t.Errorf("%s was mailed %d times", address, n)
		}
	}
}
