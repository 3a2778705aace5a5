package torture

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/notify/sendgrid"
	"postern/internal/store"
)

// A crash is a place at which an instance ends: at a publish, at a statement to
// Postgres, at a request to SendGrid or at other bytes to NATS. It happens before the
// effect is persisted, or after it, before the caller learns that.
type crash struct {
	publish  events.Type // the type of one of the events
	sql      string      // part of the statement
	since    string      // the crash can happen only after these bytes were sent; "": at once
	call     bool        // at a request to SendGrid
	line     []string    // at a write to NATS that contains all of these
	after    bool        // after the effect is persisted; false: before
	survives bool        // the instance continues: only that connection breaks and its answer is lost
}

// acked gives the parts of an acknowledgement to a consumer.
func acked(consumer string) []string { return []string{".RECORD." + consumer + ".", "+ACK"} }

var errDead = errors.New("this instance has crashed")

// An instance simulates a process: it has its own connections to NATS and Postgres,
// which a crash cuts. A goroutine that reaches the place of the crash blocks there, like
// a killed process. Only the end of the test releases the goroutines, and then they have
// no connections any more.
type instance struct {
	t     testing.TB
	ctx   context.Context
	stop  context.CancelFunc
	crash *crash
	nats  *nats.Conn
	log   *eventlog.Log
	pool  *pgxpool.Pool

	mu      sync.Mutex
	since   bool // whether crash.since was sent
	dead    bool
	conns   []net.Conn
	crashed chan struct{}
	over    chan struct{} // closed when the test ends
	running sync.WaitGroup
}

func newInstance(t testing.TB, server *embedded.NATS, databaseURL string, role store.Role, c *crash) *instance {
	t.Helper()
	l := &instance{t: t, crash: c, crashed: make(chan struct{}), over: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	var err error
	l.nats, err = server.Connect(string(role), nats.InProcessServer(natsConns{server, l}),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	l.log = eventlog.New(l.nats, nil)
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return l.track(c, err)
	}
	config.ConnConfig.Tracer = l
	config.ConnConfig.RuntimeParams["role"] = string(role)
	if l.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.stop()
		close(l.over)
		l.nats.Close() // so that no goroutine waits for it
		l.running.Wait()
		l.pool.Close()
	})
	return l
}

// run runs a part of this instance until the instance ends.
func (l *instance) run(part func(context.Context) error) {
	l.running.Go(func() {
		if err := part(l.ctx); err != nil && l.ctx.Err() == nil {
			l.t.Error(err)
		}
	})
}

// at ends the instance if here is the place of its crash, and blocks every goroutine of
// an ended instance. For a crash with survives it gives true, once: the answer is lost.
// It then cuts only the connection on, if there is one; other work of the part
// continues.
func (l *instance) at(here func(*crash) bool, after bool, on net.Conn) (lost bool) {
	l.mu.Lock()
	if !l.dead && l.crash != nil && l.crash.after == after && l.since == (l.crash.since != "") && here(l.crash) {
		l.dead, lost = !l.crash.survives, l.crash.survives
		l.crash = nil
		for _, c := range l.conns {
			if l.dead || c == on {
				_ = c.Close()
			}
		}
		close(l.crashed)
	}
	dead := l.dead
	l.mu.Unlock()
	if dead {
		l.stop()
		<-l.over
	}
	return lost
}

// kill ends the instance wherever it is.
func (l *instance) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.dead = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	if !isClosed(l.crashed) {
		close(l.crashed)
	}
	l.crash = nil
	l.stop()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// publish is [eventlog.Log.Publish] in this instance.
func (l *instance) publish(ctx context.Context, all ...events.Event) (uint64, error) {
	here := func(c *crash) bool {
		return c.publish != "" && slices.ContainsFunc(all, func(e events.Event) bool { return e.Type == c.publish })
	}
	if l.at(here, false, nil) {
		return 0, eventlog.ErrUnavailable
	}
	seq, err := l.log.Publish(ctx, all...)
	if err == nil && l.at(here, true, nil) {
		return 0, eventlog.ErrUnavailable
	}
	return seq, err
}

// call wraps the requests to SendGrid of this instance.
func (l *instance) call(send sender) sender {
	here := func(c *crash) bool { return c.call }
	return func(ctx context.Context, request uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		if l.at(here, false, nil) {
			return sendgrid.Result{Kind: sendgrid.Unknown}
		}
		result := send(ctx, request, to)
		if l.at(here, true, nil) {
			return sendgrid.Result{Kind: sendgrid.Unknown}
		}
		return result
	}
}

type sender func(context.Context, uuid.UUID, []sendgrid.Address) sendgrid.Result

type statement struct{}

// TraceQueryStart implements [pgx.QueryTracer].
func (l *instance) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.at(func(c *crash) bool { return c.sql != "" && strings.Contains(data.SQL, c.sql) }, false, connOf(conn))
	return context.WithValue(ctx, statement{}, data.SQL)
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (l *instance) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if sql, _ := ctx.Value(statement{}).(string); data.Err == nil {
		l.at(func(c *crash) bool { return c.sql != "" && !c.survives && strings.Contains(sql, c.sql) }, true, nil)
	}
}

// connOf is the network connection of a Postgres connection.
func connOf(conn *pgx.Conn) net.Conn {
	return conn.PgConn().Conn().(watchedConn).Conn
}

// track adds a connection to this instance, which cuts it when it ends.
func (l *instance) track(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		_ = c.Close()
		return nil, errDead
	}
	l.conns = append(l.conns, c)
	return watchedConn{c, l}, nil
}

// natsConns makes an instance's connections to NATS.
type natsConns struct {
	server   *embedded.NATS
	instance *instance
}

func (n natsConns) InProcessConn() (net.Conn, error) {
	c, err := n.server.InProcessConn()
	return n.instance.track(c, err)
}

// watchedConn is a connection whose bytes an instance checks for the place of its crash.
type watchedConn struct {
	net.Conn
	instance *instance
}

func (w watchedConn) Write(data []byte) (int, error) {
	w.instance.noteSince(data)
	here := func(c *crash) bool {
		return len(c.line) > 0 && !slices.ContainsFunc(c.line, func(part string) bool { return !bytes.Contains(data, []byte(part)) })
	}
	if w.instance.at(here, false, w.Conn) {
		return 0, net.ErrClosed
	}
	n, err := w.Conn.Write(data)
	if err == nil {
		w.instance.at(here, true, w.Conn)
	}
	return n, err
}

// Read loses Postgres's answer to a commit: the transaction is committed, but the
// client does not learn it.
func (w watchedConn) Read(data []byte) (int, error) {
	n, err := w.Conn.Read(data)
	committed := bytes.Contains(data[:n], []byte("COMMIT\x00"))
	if committed && w.instance.at(func(c *crash) bool { return c.survives && c.sql == "commit" }, true, w.Conn) {
		return 0, net.ErrClosed
	}
	return n, err
}

// noteSince notes whether data contains crash.since.
func (l *instance) noteSince(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crash != nil && l.crash.since != "" && bytes.Contains(data, []byte(l.crash.since)) {
		l.since = true
	}
}
