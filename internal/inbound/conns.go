package inbound

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// mostConns is the most connections of a server. One that waits takes some twenty kilobytes.
const mostConns = 2048

// conns limits the connections of a server. When there are too many, a new one takes the place of
// another that waits for its client: of the network that has the most, the one that has waited
// longest. So a client that opens connections and sends nothing loses them, and others get theirs.
type conns struct {
	trusted Proxies

	mu  sync.Mutex
	all map[net.Conn]*conn
}

// A conn is a connection.
type conn struct {
	net.Conn
	peer    netip.Addr
	network netip.Prefix
	conns   *conns
	served  int       // requests whose handler is at work, and does not wait for their bodies
	since   time.Time // since when none is
}

type connKey struct{}

func newConns(trusted Proxies) *conns {
	return &conns{trusted: trusted, all: map[net.Conn]*conn{}}
}

// open takes a new connection, and puts it into the context of its requests. It is
// [http.Server].ConnContext.
func (c *conns) open(ctx context.Context, accepted net.Conn) context.Context {
	peer := parseNode(accepted.RemoteAddr().String())
	one := &conn{Conn: accepted, peer: peer, network: Network(peer), conns: c, since: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= mostConns {
		other := c.leastUseful()
		if other == nil {
			one.abort()
			return ctx
		}
		delete(c.all, other.Conn)
		other.abort()
	}
	c.all[accepted] = one
	return context.WithValue(ctx, connKey{}, one)
}

// leastUseful returns the connection that has waited longest of the network with the most
// connections that wait. It returns nil if none waits. Those of the proxies come last: others are
// behind them. The caller has locked c.
func (c *conns) leastUseful() *conn {
	type group struct {
		waiting int
		oldest  *conn
	}
	groups := map[netip.Prefix]*group{}
	for _, one := range c.all {
		if one.served > 0 {
			continue
		}
		g := groups[one.network]
		if g == nil {
			g = &group{}
			groups[one.network] = g
		}
		g.waiting++
		if g.oldest == nil || one.since.Before(g.oldest.since) {
			g.oldest = one
		}
	}
	var worst *group
	for _, g := range groups {
		if worst == nil {
			worst = g
			continue
		}
		proxy, other := c.trusted.trust(g.oldest.peer), c.trusted.trust(worst.oldest.peer)
		if !proxy && other || proxy == other && g.waiting > worst.waiting {
			worst = g
		}
	}
	if worst == nil {
		return nil
	}
	return worst.oldest
}

// state forgets connections that have ended. It is [http.Server].ConnState.
func (c *conns) state(ended net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.all, ended)
	}
}

// serving notes that connections are at work while next handles their requests.
func (c *conns) serving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := connOf(r.Context())
		one.work(1)
		defer one.work(-1)
		next.ServeHTTP(w, r)
	})
}

// connOf returns the connection of a request, or nil.
func connOf(ctx context.Context) *conn {
	one, _ := ctx.Value(connKey{}).(*conn)
	return one
}

// work adds to the requests that are at work. Reading a body is waiting for the client.
func (one *conn) work(n int) {
	if one == nil {
		return
	}
	one.conns.mu.Lock()
	defer one.conns.mu.Unlock()
	if one.served += n; one.served == 0 {
		one.since = time.Now()
	}
}

// abort closes a connection at once. TLS would first say goodbye, and wait for that.
func (one *conn) abort() {
	if secured, ok := one.Conn.(interface{ NetConn() net.Conn }); ok {
		_ = secured.NetConn().Close()
		return
	}
	_ = one.Conn.Close()
}
