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

// No goroutine of this package outlives its test. A NATS server that stops during an
// atomic batch leaves the goroutines of the batch's store, and Watermill's suite
// leaves some of its readers.
func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"))
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// released gives a small event of a new message.
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

// chunk gives an event of about 100 kB. A large message has thousands of them.
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

// A faultyServer is a server to which a test can cut the connection, once, when
// given bytes are about to pass. The client reconnects by itself.
type faultyServer struct {
	server *embedded.NATS
	cut    atomic.Pointer[cut]
}

// A cut is the place at which to cut the connection.
type cut struct {
	bytes   []byte
	inbound bool // from the server to the client
}

func connectFaulty(t testing.TB, server *embedded.NATS) (*faultyServer, *eventlog.Log) {
	t.Helper()
	f := &faultyServer{server: server}
	conn := natstest.Connect(t, server, "faulty", nats.InProcessServer(f), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	return f, eventlog.New(conn, nil)
}

func (f *faultyServer) InProcessConn() (net.Conn, error) {
	conn, err := f.server.InProcessConn()
	return faultyConn{conn, f}, err
}

// cutAt cuts the connection before the bytes reach their destination.
func (f *faultyServer) cutAt(what string, inbound bool) { f.cut.Store(&cut{[]byte(what), inbound}) }

// passes reports whether data may pass. If not, it cuts the connection.
func (f *faultyServer) passes(conn net.Conn, data []byte, inbound bool) bool {
	c := f.cut.Load()
	if c == nil || c.inbound != inbound || !bytes.Contains(data, c.bytes) || !f.cut.CompareAndSwap(c, nil) {
		return true
	}
	_ = conn.Close()
	return false
}

type faultyConn struct {
	net.Conn
	server *faultyServer
}

func (c faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.server.passes(c.Conn, p[:n], true) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c faultyConn) Write(p []byte) (int, error) {
	if !c.server.passes(c.Conn, p, false) {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}
