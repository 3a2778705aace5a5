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

// A crash is a place in the code at which a life ends: at a publish, at a
// statement to Postgres, at a call of SendGrid or at anything else that is said
// to NATS, each before it becomes lasting or after it has, unknown to whoever did
// it.
type crash struct {
	publish events.Type // the type of the first event
	sql     string      // part of the statement
	since   string      // counts from here only: part of what was said before
	call    bool        // of SendGrid
	line    []string    // parts of what is said, all at once
	after   bool
	lives   bool // on: that one line breaks, and an answer is lost with it
}

// acked is how NATS is told that an event of a consumer is done with.
func acked(consumer string) []string { return []string{".RECORD." + consumer + ".", "+ACK"} }

var errDead = errors.New("this life is over")

// A life is a process within this one: its own connections to NATS and Postgres,
// which a crash cuts. What reaches the place of the crash stops there for good,
// as a killed process does; only the end of the test lets its goroutines go, and
// then nothing that they do reaches anything any more.
type life struct {
	t     testing.TB
	ctx   context.Context
	stop  context.CancelFunc
	crash *crash
	nats  *nats.Conn
	log   *eventlog.Log
	pool  *pgxpool.Pool

	mu      sync.Mutex
	since   bool // whether crash.since went by
	dead    bool
	conns   []net.Conn
	crashed chan struct{}
	over    chan struct{} // closed when the test ends
	running sync.WaitGroup
}

func newLife(t testing.TB, server *embedded.NATS, databaseURL string, role store.Role, c *crash) *life {
	t.Helper()
	l := &life{t: t, crash: c, crashed: make(chan struct{}), over: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	var err error
	l.nats, err = server.Connect(string(role), nats.InProcessServer(line{server, l}),
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
		return l.own(c, err)
	}
	config.ConnConfig.Tracer = l
	config.ConnConfig.RuntimeParams["role"] = string(role)
	if l.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.stop()
		close(l.over)
		l.nats.Close() // so that nobody is patient with it
		l.running.Wait()
		l.pool.Close()
	})
	return l
}

// run runs a part of this life until it ends.
func (l *life) run(part func(context.Context) error) {
	l.running.Go(func() {
		if err := part(l.ctx); err != nil && l.ctx.Err() == nil {
			l.t.Error(err)
		}
	})
}

// at ends the life where here is the place of its crash, and holds whoever comes
// by once it has ended. It gives true, once, where the life goes on and the answer
// is lost. Then the connection on which that happens is cut, where it is one, and no
// other: what else the part has in hand at that moment, whatever that is, goes on.
func (l *life) at(here func(*crash) bool, after bool, on net.Conn) (lost bool) {
	l.mu.Lock()
	if !l.dead && l.crash != nil && l.crash.after == after && l.since == (l.crash.since != "") && here(l.crash) {
		l.dead, lost = !l.crash.lives, l.crash.lives
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

// kill ends the life wherever it is.
func (l *life) kill() {
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

// publish is [eventlog.Log.Publish] in this life.
func (l *life) publish(ctx context.Context, all ...events.Event) (uint64, error) {
	here := func(c *crash) bool { return c.publish != "" && c.publish == all[0].Type }
	if l.at(here, false, nil) {
		return 0, eventlog.ErrUnavailable
	}
	seq, err := l.log.Publish(ctx, all...)
	if err == nil && l.at(here, true, nil) {
		return 0, eventlog.ErrUnavailable
	}
	return seq, err
}

// call is a call of SendGrid in this life.
func (l *life) call(send sender) sender {
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
func (l *life) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.at(func(c *crash) bool { return c.sql != "" && strings.Contains(data.SQL, c.sql) }, false, lineOf(conn))
	return context.WithValue(ctx, statement{}, data.SQL)
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (l *life) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if sql, _ := ctx.Value(statement{}).(string); data.Err == nil {
		l.at(func(c *crash) bool { return c.sql != "" && !c.lives && strings.Contains(sql, c.sql) }, true, nil)
	}
}

// lineOf is the connection below one to Postgres.
func lineOf(conn *pgx.Conn) net.Conn {
	return conn.PgConn().Conn().(watched).Conn
}

// own takes a connection into this life, which cuts it when it ends.
func (l *life) own(c net.Conn, err error) (net.Conn, error) {
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
	return watched{c, l}, nil
}

// line is the way to NATS.
type line struct {
	server *embedded.NATS
	life   *life
}

func (n line) InProcessConn() (net.Conn, error) {
	c, err := n.server.InProcessConn()
	return n.life.own(c, err)
}

// watched is a connection whose outgoing bytes a life looks at.
type watched struct {
	net.Conn
	life *life
}

func (w watched) Write(data []byte) (int, error) {
	w.life.look(data)
	here := func(c *crash) bool {
		return len(c.line) > 0 && !slices.ContainsFunc(c.line, func(part string) bool { return !bytes.Contains(data, []byte(part)) })
	}
	if w.life.at(here, false, w.Conn) {
		return 0, net.ErrClosed
	}
	n, err := w.Conn.Write(data)
	if err == nil {
		w.life.at(here, true, w.Conn)
	}
	return n, err
}

// Read loses Postgres's answer to a commit: it was committed, and nobody hears.
func (w watched) Read(data []byte) (int, error) {
	n, err := w.Conn.Read(data)
	committed := bytes.Contains(data[:n], []byte("COMMIT\x00"))
	if committed && w.life.at(func(c *crash) bool { return c.lives && c.sql == "commit" }, true, w.Conn) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (l *life) look(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crash != nil && l.crash.since != "" && bytes.Contains(data, []byte(l.crash.since)) {
		l.since = true
	}
}
