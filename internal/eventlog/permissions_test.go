package eventlog_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
)

// withUsers starts a server with a user for each process, and with the record.
func withUsers(t *testing.T) *embedded.NATS {
	t.Helper()
	var users []embedded.User
	for _, process := range eventlog.Processes() {
		p := eventlog.PermissionsOf(process)
		users = append(users, embedded.User{Name: process, Password: "secret of " + process, Publish: p.Publish, Subscribe: p.Subscribe})
	}
	server := natstest.Start(t, natstest.Users(users...), natstest.Listening())
	if err := as(t, server, events.Admin).log.Ensure(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return server
}

// A user is the connection of a process.
type user struct {
	conn *nats.Conn
	log  *eventlog.Log
}

func as(t *testing.T, server *embedded.NATS, process string) user {
	t.Helper()
	conn := natstest.Connect(t, server, process, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	return user{conn, eventlog.New(conn, nil)}
}

// mayPublish asks the server by publishing. The server reports only a refusal.
func (u user) mayPublish(t *testing.T, subject string) bool {
	t.Helper()
	if err := u.conn.Publish(subject, nil); err != nil {
		t.Fatal(err)
	}
	if err := u.conn.Flush(); err != nil { // the server reports a refusal before it answers this
		t.Fatal(err)
	}
	err := u.conn.LastError()
	return !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), strconv.Quote(subject))
}

// Only the admin may change the stream, and no process may publish another's events:
// every process tries every type of event and every forbidden subject.
func TestUsersHaveOnlyTheirOwnPermissions(t *testing.T) {
	t.Parallel()
	server := withUsers(t)
	for _, process := range eventlog.Processes() {
		if process == events.Admin {
			continue
		}
		u := as(t, server, process)
		for _, subject := range eventlogtest.Forbidden() {
			if u.mayPublish(t, subject) {
				t.Errorf("%s may publish to %s", process, subject)
			}
		}
		for _, d := range events.Registry() {
			kind := d.Type
			subject := strings.Replace(kind.Filter(), "*", "7", 1)
			if got, want := u.mayPublish(t, subject), eventlog.MayPublish(process, kind); got != want {
				t.Errorf("%s may publish %s: %v, want %v", process, kind, got, want)
			}
		}
		for _, consumer := range eventlog.ConsumerConfigs() {
			own := process == strings.Split(consumer.Durable, "-")[0]+"-worker"
			if got := u.mayPublish(t, "$JS.API.CONSUMER.MSG.NEXT.RECORD."+consumer.Durable); got != own {
				t.Errorf("%s may fetch from %s: %v, want %v", process, consumer.Durable, got, own)
			}
		}
	}
	if s := eventlogtest.StateOf(t, as(t, server, events.Admin).log); s.First != 1 || s.Deleted != 0 {
		t.Errorf("the stream has %+v", s)
	}
}

// Each user has every permission that its process needs.
func TestUsersMayDoTheirWork(t *testing.T) {
	t.Parallel()
	server := withUsers(t)
	api := as(t, server, events.API)
	last := eventlogtest.Publish(t, api.log, eventlogtest.About(t, events.LabelChanged{Label: "patient", One: "Client", Many: "Clients"}))
	recorder := as(t, server, events.Recorder)
	last = eventlogtest.Publish(t, recorder.log, append(eventlogtest.ManyReleased(t, 3), eventlogtest.Released(t))...) + last - 1
	for range 40 { // more often than there are names for readers
		if got, err := sequences(t, recorder.log, 1, last, 100, 1<<20); !errors.Is(err, errEnd) || len(slices.Concat(got...)) != int(last) {
			t.Errorf("the recorder reads %v: %v", got, err)
		}
	}
	if err := recorder.conn.LastError(); err != nil {
		t.Errorf("the server refused the recorder: %v", err)
	}
	for _, process := range eventlog.Processes() {
		u := as(t, server, process)
		if err := u.log.WaitReady(eventlogtest.Within(t, time.Minute)); err != nil {
			t.Errorf("%s: %v", process, err)
		}
		if err := u.log.Ensure(eventlogtest.Within(t, time.Minute), 1); err != nil {
			t.Errorf("%s does not find the record complete: %v", process, err)
		}
		if _, err := u.log.Get(t.Context(), 1); err != nil {
			t.Errorf("%s: %v", process, err)
		}
	}
	ctx, stop := context.WithCancel(eventlogtest.Within(t, time.Minute))
	worker := as(t, server, events.FanoutWorker)
	handled := 0
	err := consume.Run(ctx, worker.log, consume.Parking{}, consume.Lane{Consumer: eventlog.FanoutDirect,
		Handle: func(context.Context, events.Event, uint64) error {
			if handled++; handled == 4 {
				stop()
			}
			return nil
		}})
	if err != nil {
		t.Error(err)
	}
	// The server counts an acknowledgement shortly after its arrival.
	eventlogtest.Settled(t, as(t, server, events.Admin).log, eventlog.FanoutDirect)
	if handled != 4 {
		t.Errorf("%d events handled", handled)
	}
	if err := worker.conn.LastError(); err != nil {
		t.Errorf("the server refused the worker: %v", err)
	}
}

// A process without a permission gets ErrNotAllowed.
func TestNotAllowed(t *testing.T) {
	t.Parallel()
	server := withUsers(t)
	u := as(t, server, events.FanoutWorker)
	if _, err := u.log.Publish(eventlogtest.Within(t, time.Minute), eventlogtest.Released(t)); !errors.Is(err, eventlog.ErrNotAllowed) {
		t.Errorf("publishing an event of another process: %v", err)
	}
	js, err := jetstream.New(as(t, server, events.Admin).conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), eventlog.Stream); err != nil {
		t.Fatal(err)
	}
	if err := u.log.Ensure(eventlogtest.Within(t, time.Minute), 1); !errors.Is(err, eventlog.ErrNotAllowed) {
		t.Errorf("making the stream: %v", err)
	}
}
