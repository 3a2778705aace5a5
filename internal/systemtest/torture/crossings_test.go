package torture

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/directory/audience"
	"postern/internal/directory/imports"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/fanout"
	"postern/internal/notify"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/notify/reports"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
	"postern/internal/record/retention"
	"postern/internal/recorder"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// Random sequences of all actions by people, SendGrid and crashes that affect alerts at
// the same time. After every sequence: each alert that no pause holds reaches a final
// state, an alert is sent twice only if the record shows it, and a replay sends the
// alerts that its plan counts.
//
//	go test ./internal/systemtest/torture -run TestCrossings -rapid.checks 500
//
// A failing sequence is shrunk and printed; add it to keptCrossings.
func TestCrossings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		c := newCrossing(&trial{TB: t, r: r}, rapid.SampledFrom([]int{16, 16, 16, 1016}).Draw(r, "people"))
		// Start with failed alerts: without a failure, most steps have no effect.
		if rapid.Bool().Draw(r, "all fail") {
			c.failed()
		} else {
			c.answer(rapid.SampledFrom(answers).Draw(r, "first answer"))
			c.send(0)
		}
		r.Repeat(c.actions(r))
		c.finish()
	})
}

// actions are the steps. Each draws its own object, such as a message or a person.
func (c *crossing) actions(r *rapid.T) map[string]func(*rapid.T) {
	message := func(r *rapid.T) uuid.UUID {
		if len(c.messages) == 0 {
			r.Skip("no message was sent")
		}
		return rapid.SampledFrom(c.messages).Draw(r, "message")
	}
	planned := func(r *rapid.T) uuid.UUID {
		if len(c.replays) == 0 {
			r.Skip("no replay was planned")
		}
		return rapid.SampledFrom(c.replays).Draw(r, "replay")
	}
	person := func(r *rapid.T) int { return rapid.IntRange(0, c.people.all-1).Draw(r, "person") }
	return map[string]func(*rapid.T){
		"send":          func(r *rapid.T) { c.send(0) },
		"schedule":      func(r *rapid.T) { c.send(time.Hour) },
		"cancel":        func(r *rapid.T) { c.cancel(message(r)) },
		"recall":        func(r *rapid.T) { c.recall(message(r)) },
		"erase":         func(r *rapid.T) { c.erase(message(r)) },
		"pause one":     func(r *rapid.T) { id := message(r); c.pause(&id) },
		"pause all":     func(r *rapid.T) { c.pause(nil) },
		"resume one":    func(r *rapid.T) { id := message(r); c.resume(&id) },
		"resume all":    func(r *rapid.T) { c.resume(nil) },
		"plan":          func(r *rapid.T) { c.plan(nil) },
		"plan one":      func(r *rapid.T) { id := message(r); c.settle(); c.plan(&id) },
		"start":         func(r *rapid.T) { c.start(planned(r), 0) },
		"start slowly":  func(r *rapid.T) { c.start(planned(r), 60) },
		"replay":        func(r *rapid.T) { c.settle(); c.start(c.plan(nil), 0) },
		"replay slowly": func(r *rapid.T) { id := message(r); c.settle(); c.start(c.plan(&id), 60) },
		"pause replay":  func(r *rapid.T) { c.steer(planned(r), (*replay.Replays).Pause) },
		"resume replay": func(r *rapid.T) { c.steer(planned(r), (*replay.Replays).Resume) },
		"cancel replay": func(r *rapid.T) { c.steer(planned(r), (*replay.Replays).Cancel) },
		"answer": func(r *rapid.T) {
			c.answer(rapid.SampledFrom(answers).Draw(r, "answer"))
		},
		"refuse": func(r *rapid.T) { c.refuse(person(r), rapid.Bool().Draw(r, "refused")) },
		"report": func(r *rapid.T) {
			c.report(rapid.IntRange(0, 1<<20).Draw(r, "mail"), rapid.SampledFrom(reportKinds).Draw(r, "kind"))
		},
		"deactivate": func(r *rapid.T) { c.change(person(r), func(p *listed) { p.inactive = !p.inactive }) },
		"readdress":  func(r *rapid.T) { c.change(person(r), func(p *listed) { p.moves++ }) },
		"kill": func(r *rapid.T) {
			c.kill(rapid.SampledFrom([]string{partFanout, partNotify, partRecorder}).Draw(r, "part"))
		},
		"crash": func(r *rapid.T) {
			at := rapid.SampledFrom(notifyCrashes).Draw(r, "at")
			at.after = rapid.Bool().Draw(r, "after")
			c.restart(partNotify, &at)
		},
		"time passes": func(r *rapid.T) {
			c.pass(rapid.SampledFrom([]time.Duration{5 * time.Second, time.Minute, 2 * time.Hour}).Draw(r, "time"))
		},
		"settle": func(r *rapid.T) { c.settle() },
	}
}

// Sequences that failed once, each shrunk as far as possible.
var keptCrossings = map[string]func(*crossing){
	"a message is paused while a part of its replay waits for SendGrid": func(c *crossing) {
		id := c.failed()
		replay := c.plan(&id)
		c.answer("rate limit")
		c.start(replay, 0)
		c.await("a part that waits", `SELECT EXISTS (SELECT FROM app.alert_work WHERE kind = 'replay' AND reason <> '')`)
		c.pause(&id)
		c.pass(time.Minute)
		c.settle()
		c.resume(&id)
		c.settle()
		if got := c.mails(id); got != 15 {
			c.Errorf("after the pause %d alerts were sent, want 15", got)
		}
	},
	"a replay is cancelled while a pause of all alerting holds a part of it": func(c *crossing) {
		id := c.failed()
		first := c.plan(nil)
		c.answer("rate limit")
		c.start(first, 0)
		c.await("a part that waits", `SELECT EXISTS (SELECT FROM app.alert_work WHERE kind = 'replay' AND reason <> '')`)
		c.pause(nil)
		c.pass(time.Minute)
		c.settle()
		c.steer(first, (*replay.Replays).Cancel)
		c.resume(nil)
		c.settle()
		c.start(c.plan(nil), 0)
		c.settle()
		if got := c.mails(id); got != 15 {
			c.Errorf("after the second replay %d alerts were sent, want 15", got)
		}
	},
	"a block is reported after the acceptance": func(c *crossing) {
		id := c.send(0)
		c.settle()
		c.report(3, "blocked")
		c.settle()
		c.start(c.plan(&id), 0)
		c.settle()
		if got := c.mails(id); got != 16 {
			c.Errorf("%d alerts were sent, want 16", got)
		}
	},
	"a block is reported while the answer is unknown": func(c *crossing) {
		c.answer("taken and lost")
		id := c.send(0)
		c.settle()
		c.report(3, "blocked")
		c.report(4, "delivered")
		c.settle()
		c.start(c.plan(&id), 0)
		c.settle()
	},
	"the worker crashes in a replay that is then paused": func(c *crossing) {
		id := c.failed()
		c.restart(partNotify, &crash{sql: "UPDATE app.attempts"})
		c.start(c.plan(&id), 0)
		c.pass(time.Second)
		c.pause(&id)
		c.settle()
		c.resume(&id)
		c.settle()
	},
	"a message is recalled while its replay is held by a pause": func(c *crossing) {
		id := c.failed()
		c.pause(&id)
		c.start(c.plan(&id), 0)
		c.recall(id)
		c.settle()
		c.resume(&id)
		c.settle()
	},
	"an address changes between the plan and its start": func(c *crossing) {
		id := c.failed()
		replay := c.plan(&id)
		c.change(2, func(p *listed) { p.moves++ })
		c.change(3, func(p *listed) { p.inactive = true })
		c.start(replay, 0)
		c.settle()
	},
	"a message is erased as a slow replay of it begins": func(c *crossing) {
		c.answer("no")
		id := c.send(0)
		c.settle()
		c.start(c.plan(&id), 60)
		c.erase(id)
		c.settle()
	},
	"the worker crashes after an answer, and the rest of the chunk waits": func(c *crossing) {
		c.restart(partNotify, &crash{call: true, after: true})
		c.send(0)
		c.answer("rate limit")
		c.pause(nil)
		c.settle()
		c.resume(nil)
		c.settle()
	},
	"the recorder crashes while a scheduled message becomes due": func(c *crossing) {
		c.send(time.Hour)
		c.kill(partRecorder)
		c.pass(2 * time.Hour)
		c.settle()
	},
}

// TestKeptCrossings runs the sequences that failed once.
func TestKeptCrossings(t *testing.T) {
	t.Parallel()
	for name, sequence := range keptCrossings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrossing(t, 16)
			sequence(c)
			c.finish()
		})
	}
}

// A trial is a testing.TB for one sequence of a property: its cleanups run at the end of
// the sequence.
type trial struct {
	testing.TB
	r *rapid.T
}

func (t *trial) Cleanup(f func())                  { t.r.Cleanup(f) }
func (t *trial) Context() context.Context          { return t.r.Context() }
func (t *trial) Error(args ...any)                 { t.r.Error(args...) }
func (t *trial) Errorf(format string, args ...any) { t.r.Errorf(format, args...) }
func (t *trial) Fatal(args ...any)                 { t.r.Fatal(args...) }
func (t *trial) Fatalf(format string, args ...any) { t.r.Fatalf(format, args...) }
func (t *trial) FailNow()                          { t.r.FailNow() }
func (t *trial) Fail()                             { t.r.Fail() }
func (t *trial) Failed() bool                      { return t.r.Failed() }
func (t *trial) Log(args ...any)                   { t.r.Log(args...) }
func (t *trial) Logf(format string, args ...any)   { t.r.Logf(format, args...) }

// listed is a portal user's entry in the directory.
type listed struct {
	inactive bool
	moves    int // how often the address has changed
}

// A crossing is a system whose parts run, crash and restart during a sequence of steps.
// Its methods are the steps. As with a real person's actions, the system may refuse them.
type crossing struct {
	*inside
	api       *instance
	composer  client
	alerting  *pause.Pauses
	replayAPI *replay.Replays
	erasures  *retention.Retention
	receiver  *reports.Receiver
	webhook   sendgridfake.Webhook
	whole     func(context.Context) error
	reached   func(ctx context.Context, seq uint64) error
	parts     map[string]*instance

	messages []uuid.UUID
	replays  []uuid.UUID
	persons  map[int]*listed
	ann, ben policy.Subject

	mu      sync.Mutex
	ahead   time.Duration // how far all clocks are ahead
	refused map[string]bool
	// undisturbed has the plans since which only SendGrid's answers affected alerts.
	undisturbed map[uuid.UUID]bool
}

// notifyCrashes are the places at which a notify worker crashes in the middle of a chunk
// or of a part of a replay, before and after the step is persisted.
var notifyCrashes = []crash{
	{sql: "INSERT INTO app.attempts"}, {call: true}, {sql: "UPDATE app.attempts"}, {publish: events.TypeAlertsAccepted},
	{sql: "INTO app.alert_repeats"}, {sql: "SET state = CASE WHEN amends"}, {line: acked(eventlog.NotifyDirect)},
}

// answers are SendGrid's possible answers to a request.
var answers = []string{"too large", "taken and lost", "lost", "rate limit", "unavailable", "no", "no, of no one"}

var reportKinds = []string{"delivered", "deferred", "blocked", "bounce", "dropped", "spamreport"}

const refusal = "the mailbox is full"

func newCrossing(t testing.TB, people int) *crossing {
	t.Helper()
	c := &crossing{persons: map[int]*listed{}, refused: map[string]bool{}, parts: map[string]*instance{}, undisturbed: map[uuid.UUID]bool{}}
	c.inside = newInsideWith(t, people, insideConfig{now: c.now, timeout: 2 * time.Second, refuse: func(address string) string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.refused[address] {
			return refusal
		}
		return ""
	}})
	for _, part := range []string{partRecorder, partFanout, partNotify} {
		c.restart(part, nil)
	}
	c.api = newInstance(t, c.server, c.url, store.RoleAPI, nil)
	watcher := position.NewWatcher(c.api.pool, nil)
	c.api.run(watcher.Run)
	c.composer = client{compose.New(compose.Config{Pool: c.api.pool, Content: c.content, Reader: reader.New(reader.Config{Pool: c.api.pool, Content: c.content}), Intact: watcher.Intact, Facts: facts.Publisher{Source: "/api", Send: c.api.publish, Reached: watcher.Wait, Clock: c.now}})}
	c.whole, c.reached = watcher.Intact, watcher.Wait
	c.alerting = pause.New(pause.Config{Pool: c.api.pool, Facts: facts.Publisher{Source: "/api", Send: c.api.publish, Clock: c.now}})
	c.replayAPI = replay.New(replay.Config{Pool: c.api.pool, Facts: facts.Publisher{Source: "/api", Send: c.api.publish, Reached: watcher.Wait, Clock: c.now}})
	c.erasures = retention.New(retention.Config{Pool: c.api.pool, Content: c.content, Facts: facts.Publisher{Source: "/api", Send: c.api.publish, Reached: watcher.Wait, Clock: c.now}})
	key, err := sendgridfake.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c.webhook = sendgridfake.Webhook{PrivateKey: key, Now: c.now}
	read, err := process.ReadReports(c.webhook.PublicKey(), c.now)
	if err != nil {
		t.Fatal(err)
	}
	c.receiver = reports.New(reports.Config{Pool: c.api.pool, Read: read, Facts: facts.Publisher{Source: "/api", Send: c.api.publish, Clock: c.now}})
	c.ann, c.ben = c.eraser("Ann"), c.eraser("Ben")
	return c
}

func (c *crossing) eraser(name string) policy.Subject {
	c.Helper()
	id := uuid.New()
	c.must(c.recordFacts(events.StaffCreated{StaffID: id.String(), Name: name},
		events.PermissionChanged{Granted: true, Change: id, StaffID: id.String(), Permission: string(policy.EraseMessageContent)}))
	return policy.Subject{Realm: policy.RealmStaff, ID: id.String(), Name: name, Permissions: []policy.Permission{policy.EraseMessageContent}}
}

func (c *crossing) recordFacts(bodies ...events.Body) error {
	all := make([]events.Event, len(bodies))
	for i, body := range bodies {
		var err error
		if all[i], err = events.New("/test", "operator:test", c.now(), body); err != nil {
			return err
		}
	}
	seq, err := c.api.publish(c.Context(), all...)
	if err != nil {
		return err
	}
	return c.reached(c.Context(), seq)
}

func (c *crossing) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *crossing) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// restart ends the instance of a part and starts another, which crashes at the given
// place.
func (c *crossing) restart(part string, at *crash) {
	c.Helper()
	c.kill(part)
	l := newInstance(c, c.server, c.url, store.Role("postern_"+map[string]string{
		partFanout: "fanout", partNotify: "notify", partRecorder: "recorder"}[part]), at)
	c.parts[part] = l
	watcher := position.NewWatcher(l.pool, nil)
	l.run(watcher.Run)
	switch part {
	case partFanout:
		w := fanout.New(fanout.Config{Pool: l.pool, Position: watcher, Content: c.content, Facts: facts.Publisher{Send: l.publish, Clock: c.now}})
		l.consume(2, eventlog.FanoutBulk, eventlog.FanoutDirect, func(bulk bool) consume.Handler {
			return func(ctx context.Context, e events.Event, seq uint64) error {
				if e.Type == events.TypeMessageReleased {
					return w.HandleReleased(ctx, e, seq, bulk)
				}
				return w.HandleSent(ctx, e, bulk)
			}
		})
	case partNotify:
		w := notify.New(notify.Config{Pool: l.pool, Position: watcher, Facts: facts.Publisher{Send: l.publish, Clock: c.now}, Send: l.call(c.sends.Send), Last: func(ctx context.Context) (uint64, error) {
			state, err := l.log.State(ctx)
			return state.Last, err
		}})
		l.run(w.RunPresence)
		l.run(w.RunRetries)
		l.run(w.RunReplays)
		l.run(w.RunPromotions)
		l.consume(2, eventlog.NotifyBulk, eventlog.NotifyDirect, func(bulk bool) consume.Handler {
			return func(ctx context.Context, e events.Event, seq uint64) error {
				if e.IsBulk() != bulk {
					return nil
				}
				return w.Handle(ctx, e, seq)
			}
		})
	case partRecorder:
		l.run(recorder.New(recorder.Config{Log: l.log, Pool: l.pool, Now: c.now}).Run)
	}
}

// kill ends the instance of a part wherever it is. settle starts another.
func (c *crossing) kill(part string) {
	if l := c.parts[part]; l != nil {
		l.kill()
	}
}

// revive starts new instances of the parts that have crashed.
func (c *crossing) revive() {
	for part, l := range c.parts {
		select {
		case <-l.crashed:
			c.restart(part, nil)
		default:
		}
	}
}

func (c *crossing) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// may accepts an error of a step if it is one of the given reasons.
func (c *crossing) may(err error, reasons ...error) {
	c.Helper()
	var late replay.WrongStatus
	if err == nil || errors.As(err, &late) || slices.ContainsFunc(reasons, func(r error) bool { return errors.Is(err, r) }) {
		return
	}
	c.Fatal(err)
}

// ready restarts crashed parts and waits until messages can be sent.
func (c *crossing) ready() {
	c.Helper()
	c.revive()
	c.disturb()
	eventually(c, time.Millisecond, "a recorder that finds the stream whole", c.state, func(ctx context.Context) bool { return c.whole(ctx) == nil })
}

// disturb notes that from now on not only SendGrid's answers affect planned alerts.
func (c *crossing) disturb() { clear(c.undisturbed) }

var author = policy.Subject{Realm: policy.RealmStaff, ID: "s1", Permissions: policy.All}

// send sends a message to all portal users, now or after a duration.
func (c *crossing) send(after time.Duration) uuid.UUID {
	c.Helper()
	c.ready()
	none := 0
	r := compose.Request{Subject: "The practice is closed", Body: "On Monday.", UndoSeconds: &none,
		Recipients: audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}}}
	if after > 0 {
		at := c.now().Add(after)
		r.SendAt = &at
	}
	// If a new recorder has become leader, it has not checked the stream yet. The request
	// is then refused, and the client repeats it with the same key.
	var sent compose.Answer
	var err error
	key := uuid.NewString()
	eventually(c, time.Millisecond, "a message that is accepted", c.state, func(ctx context.Context) bool {
		sent, err = c.composer.Send(ctx, author, key, r)
		return !errors.Is(err, position.ErrUnchecked)
	})
	c.must(err)
	c.messages = append(c.messages, sent.ID)
	return sent.ID
}

// failed sends a message and lets SendGrid refuse each of its alerts by address.
func (c *crossing) failed() uuid.UUID {
	c.Helper()
	all := func(refused bool) {
		for i := range c.people.all {
			c.refuse(i, refused)
		}
	}
	all(true)
	id := c.send(0)
	c.settle()
	all(false)
	return id
}

func (c *crossing) cancel(id uuid.UUID) {
	c.ready()
	err := c.composer.Cancel(c.Context(), author, id)
	c.may(err, compose.ErrTooLate, message.ErrNotFound)
}

func (c *crossing) recall(id uuid.UUID) {
	c.ready()
	err := c.composer.Recall(c.Context(), author, id, "It was wrong.")
	c.may(err, compose.ErrTooLate, message.ErrNotFound)
}

func (c *crossing) erase(id uuid.UUID) {
	c.ready()
	e, err := c.erasures.Request(c.Context(), c.ann.Actor(), id, "It went to the wrong person.")
	c.may(err, retention.ErrGoingOut, retention.ErrAsked, message.ErrNotFound)
	if err == nil {
		_, err = c.erasures.Approve(c.Context(), c.ben, e.ID)
		c.must(err)
	}
}

func (c *crossing) pause(id *uuid.UUID) {
	c.ready()
	seq, err := c.alerting.Pause(c.Context(), "staff:s1", id, "They complain.")
	c.may(err, pause.ErrNoMessage)
	c.must(c.reached(c.Context(), seq))
}

func (c *crossing) resume(id *uuid.UUID) {
	c.ready()
	seq, err := c.alerting.Resume(c.Context(), "staff:s1", id, "They no longer do.")
	c.may(err, pause.ErrNoMessage)
	c.must(c.reached(c.Context(), seq))
}

func (c *crossing) plan(id *uuid.UUID) uuid.UUID {
	c.ready()
	r, err := c.replayAPI.Plan(c.Context(), "staff:s1", replay.Filter{MessageID: id}, "again")
	c.must(err)
	c.replays = append(c.replays, r.ID)
	c.undisturbed[r.ID] = true
	return r.ID
}

func (c *crossing) start(id uuid.UUID, rate int) {
	wasUndisturbed := c.undisturbed[id]
	c.ready()
	_, err := c.replayAPI.Start(c.Context(), "staff:s1", id, rate)
	c.may(err)
	c.undisturbed[id] = wasUndisturbed
}

func (c *crossing) steer(id uuid.UUID, how func(*replay.Replays, context.Context, string, uuid.UUID) (replay.Replay, error)) {
	c.ready()
	_, err := how(c.replayAPI, c.Context(), "staff:s1", id)
	c.may(err)
}

// answer sets SendGrid's answer to the next request.
func (c *crossing) answer(kind string) {
	step, known := map[string]sendgridfake.Step{
		"too large":      {Status: http.StatusRequestEntityTooLarge},
		"rate limit":     sendgridfake.RateLimit(4 * time.Second),
		"unavailable":    sendgridfake.Fail(http.StatusServiceUnavailable),
		"lost":           sendgridfake.ResetBefore(),
		"taken and lost": sendgridfake.ResetAfter(),
		"no":             sendgridfake.Fail(http.StatusBadRequest),
		"no, of no one":  {Status: http.StatusBadRequest, Body: `{"errors":[{"message":"Bad Request","field":null,"help":null}]}`},
	}[kind]
	if !known {
		c.Fatalf("there is no answer %q", kind)
	}
	c.fake.Queue(step)
}

func (c *crossing) refuse(i int, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[c.address(i)] = refused
}

// address is the person's current address in the directory.
func (c *crossing) address(i int) string {
	p, address := c.persons[i], c.people.address(i)
	if p == nil || p.moves == 0 || address == "" {
		return address
	}
	return fmt.Sprintf("moved-%d-%s", p.moves, address)
}

// change changes a person's entry in the directory with an import.
func (c *crossing) change(i int, how func(*listed)) {
	c.Helper()
	c.ready()
	c.mu.Lock()
	p := c.persons[i]
	if p == nil {
		p = &listed{inactive: c.people.inactive(i)}
		c.persons[i] = p
	}
	how(p)
	c.mu.Unlock()
	line := fmt.Sprintf("portal_user_id,name,email,active\n%s,Given Family,%s,%t\n", c.people.id(i), c.address(i), !p.inactive)
	_, err := imports.CSV(c.Context(), c.admin, []imports.File{{Name: "portal_users.csv", Content: strings.NewReader(line)}}, imports.Options{})
	c.must(err)
}

// report posts SendGrid's report about one of the mails that it took.
func (c *crossing) report(nth int, kind string) {
	c.Helper()
	c.ready()
	mails := slices.Collect(c.fake.Accepted())
	if len(mails) == 0 {
		return
	}
	m := mails[nth%len(mails)]
	e := map[string]func() sendgridfake.Event{
		"delivered": func() sendgridfake.Event { return sendgridfake.Delivered(m, c.now()) },
		"deferred":  func() sendgridfake.Event { return sendgridfake.Deferred(m, c.now(), 1, "450 4.7.1 later") },
		"blocked":   func() sendgridfake.Event { return sendgridfake.Blocked(m, c.now(), "5.7.1", "550 5.7.1 refused") },
		"bounce": func() sendgridfake.Event {
			return sendgridfake.Bounce(m, c.now(), "5.1.1", "550 5.1.1 no such mailbox")
		},
		"dropped":    func() sendgridfake.Event { return sendgridfake.Dropped(m, c.now(), "Bounced Address") },
		"spamreport": func() sendgridfake.Event { return sendgridfake.SpamReport(m, c.now()) },
	}[kind]()
	body, err := sendgridfake.EncodeEvents([]sendgridfake.Event{e})
	c.must(err)
	header, err := c.webhook.Sign(body)
	c.must(err)
	c.must(c.receiver.Post(c.Context(), header, body))
}

// await waits until the query gives true.
func (c *crossing) await(what, sql string) {
	c.Helper()
	eventually(c, 10*time.Millisecond, what, c.state, func(ctx context.Context) (reached bool) {
		return c.admin.QueryRow(ctx, sql).Scan(&reached) == nil && reached
	})
}

// mails counts the alerts of a message that SendGrid took.
func (c *crossing) mails(message uuid.UUID) (n int) {
	c.Helper()
	for _, times := range c.taken(message) {
		n += len(times)
	}
	return n
}
