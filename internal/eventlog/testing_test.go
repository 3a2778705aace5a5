package eventlog_test

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/events"
)

// Nothing of ours runs on after its test. A NATS server that is stopped in the
// midst of an atomic batch leaves the loops of the batch's own little store, and
// Watermill's suite some readers of its own.
func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"))
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// released is a small event of a message of its own.
func released(t testing.TB) events.Event {
	t.Helper()
	return about(t, events.MessageReleased{MessageID: uuid.New()})
}

func manyReleased(t testing.TB, n int) []events.Event {
	t.Helper()
	evs := make([]events.Event, n)
	for i := range evs {
		evs[i] = released(t)
	}
	return evs
}

func about(t testing.TB, body events.Body) events.Event {
	t.Helper()
	e, err := events.New("/test", "process:test", noon, body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// chunk is an event of about 100 kB, as a blast has by the thousand.
func chunk(t testing.TB, message uuid.UUID, index, of int) events.Event {
	t.Helper()
	body := events.DeliveriesCreated{MessageID: message, Chunk: index}
	for i := range int32(events.ChunkSize) {
		id := uuid.NewSHA1(message, []byte{byte(index), byte(index >> 8), byte(i), byte(i >> 8)}).String()
		body.Recipients = append(body.Recipients, events.Recipient{PortalUserID: id, PortalUserNo: i + 1,
			Links: []events.Link{{PatientID: id[:24], PatientNo: i + 1, Relationship: "self"}}})
	}
	e := about(t, body)
	e.Chunk = &events.ChunkRef{Index: index, Of: of}
	return e
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func publish(t testing.TB, log *eventlog.Log, evs ...events.Event) uint64 {
	t.Helper()
	last, err := log.Publish(within(t, time.Minute), evs...)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func stateOf(t testing.TB, log *eventlog.Log) eventlog.State {
	t.Helper()
	state, err := log.State(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A line is a connection to the server that a test can cut: once, when certain
// bytes are about to pass. It comes back by itself.
type line struct {
	server *embedded.NATS
	cut    atomic.Pointer[cut]
}

type cut struct {
	what    []byte
	inbound bool // on their way to the client
}

func connectByLine(t testing.TB, server *embedded.NATS) (*line, *eventlog.Log) {
	t.Helper()
	l := &line{server: server}
	conn := natstest.Connect(t, server, "line", nats.InProcessServer(l), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	return l, eventlog.New(conn, nil)
}

func (l *line) InProcessConn() (net.Conn, error) {
	conn, err := l.server.InProcessConn()
	return lineConn{conn, l}, err
}

// cutAt cuts the line before the bytes reach their destination.
func (l *line) cutAt(what string, inbound bool) { l.cut.Store(&cut{[]byte(what), inbound}) }

// passes tells whether data may pass, and cuts the line where not.
func (l *line) passes(conn net.Conn, data []byte, inbound bool) bool {
	c := l.cut.Load()
	if c == nil || c.inbound != inbound || !bytes.Contains(data, c.what) || !l.cut.CompareAndSwap(c, nil) {
		return true
	}
	_ = conn.Close()
	return false
}

type lineConn struct {
	net.Conn
	line *line
}

func (c lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.line.passes(c.Conn, p[:n], true) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c lineConn) Write(p []byte) (int, error) {
	if !c.line.passes(c.Conn, p, false) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}
