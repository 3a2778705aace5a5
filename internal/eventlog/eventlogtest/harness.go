package eventlogtest

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/events"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// Released gives a small event of a new message.
func Released(t testing.TB) events.Event {
	t.Helper()
	return About(t, events.MessageReleased{MessageID: uuid.New()})
}

// ManyReleased gives n of them.
func ManyReleased(t testing.TB, n int) []events.Event {
	t.Helper()
	evs := make([]events.Event, n)
	for i := range evs {
		evs[i] = Released(t)
	}
	return evs
}

// About gives an event with a body.
func About(t testing.TB, body events.Body) events.Event {
	t.Helper()
	e, err := events.New("/test", "process:test", noon, body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Chunk gives an event of about 100 kB. A large message has thousands of them.
func Chunk(t testing.TB, message uuid.UUID, index, of int) events.Event {
	t.Helper()
	body := events.DeliveriesCreated{MessageID: message, Chunk: index}
	for i := range int32(events.ChunkSize) {
		id := uuid.NewSHA1(message, []byte{byte(index), byte(index >> 8), byte(i), byte(i >> 8)}).String() // #nosec G115 -- the low bytes
		body.Recipients = append(body.Recipients, events.Recipient{PortalUserID: id, PortalUserNo: i + 1,
			Links: []events.Link{{PatientID: id[:24], PatientNo: i + 1, Relationship: "self"}}})
	}
	e := About(t, body)
	e.Chunk = &events.ChunkRef{Index: index, Of: of}
	return e
}

// Within gives a context that ends after d, and with the test.
func Within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Publish publishes events and gives the last sequence.
func Publish(t testing.TB, log *eventlog.Log, evs ...events.Event) uint64 {
	t.Helper()
	last, err := log.Publish(Within(t, time.Minute), evs...)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// StateOf gives the state of the stream.
func StateOf(t testing.TB, log *eventlog.Log) eventlog.State {
	t.Helper()
	state, err := log.State(Within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// Settled returns once the consumer has no pending and no unacknowledged events. It
// polls, because the server does not report that.
func Settled(t testing.TB, log *eventlog.Log, consumer string) {
	t.Helper()
	ctx := Within(t, time.Minute)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		c, err := log.JetStream().Consumer(ctx, eventlog.Stream, consumer)
		if err != nil {
			t.Fatal(err)
		}
		if info := c.CachedInfo(); info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("the consumer is not done")
		}
	}
}

// A FaultyServer is a server to which a test can cut the connection, once, when
// given bytes are about to pass. The client reconnects by itself.
type FaultyServer struct {
	server *embedded.NATS
	cut    atomic.Pointer[cut]
}

// A cut is the place at which to cut the connection.
type cut struct {
	bytes   []byte
	inbound bool // from the server to the client
}

// ConnectFaulty gives a log whose connection the test can cut.
func ConnectFaulty(t testing.TB, server *embedded.NATS) (*FaultyServer, *eventlog.Log) {
	t.Helper()
	f := &FaultyServer{server: server}
	conn := natstest.Connect(t, server, "faulty", nats.InProcessServer(f), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	return f, eventlog.New(conn, nil)
}

// InProcessConn implements nats.InProcessConnProvider.
func (f *FaultyServer) InProcessConn() (net.Conn, error) {
	conn, err := f.server.InProcessConn()
	return faultyConn{conn, f}, err
}

// CutAt cuts the connection before the bytes reach their destination.
func (f *FaultyServer) CutAt(what string, inbound bool) { f.cut.Store(&cut{[]byte(what), inbound}) }

// HasCut reports whether the connection was cut since CutAt; true before the first CutAt.
func (f *FaultyServer) HasCut() bool { return f.cut.Load() == nil }

// passes reports whether data may pass. If not, it cuts the connection.
func (f *FaultyServer) passes(conn net.Conn, data []byte, inbound bool) bool {
	c := f.cut.Load()
	if c == nil || c.inbound != inbound || !bytes.Contains(data, c.bytes) || !f.cut.CompareAndSwap(c, nil) {
		return true
	}
	_ = conn.Close()
	return false
}

type faultyConn struct {
	net.Conn
	server *FaultyServer
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
