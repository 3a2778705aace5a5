package inbound

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A peer is a connection from an address, which notes that it was closed.
type peer struct {
	net.Conn
	address string
	closed  bool
}

func (p *peer) RemoteAddr() net.Addr { return named(p.address + ":1234") }
func (p *peer) Close() error         { p.closed = true; return nil }

type named string

func (named) Network() string  { return "tcp" }
func (n named) String() string { return string(n) }

// house is a server's connections, to which peers come.
type house struct {
	*conns
	t *testing.T
}

func newHouse(t *testing.T) house {
	trusted, err := ParseProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	return house{newConns(trusted), t}
}

// come opens a connection, and returns the context of its requests.
func (h house) come(address string) (*peer, context.Context) {
	p := &peer{address: address}
	return p, h.open(h.t.Context(), p)
}

// fill opens connections from an address, a second apart, until there are n in all.
func (h house) fill(address string, n int) (all []*peer) {
	for len(h.all) < n {
		p, _ := h.come(address)
		all = append(all, p)
		time.Sleep(time.Second)
	}
	return all
}

// serve runs do while a request of the connection is at work.
func (h house) serve(ctx context.Context, do func()) {
	handler := h.serving(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { do() }))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
}

// A new connection takes the place of the one that has waited longest, of the network with the
// most.
func TestTheLongestWaitingConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		other, _ := h.come("192.0.2.1")
		proxy, _ := h.come("10.0.0.1")
		crowd := h.fill("192.0.2.99", mostConns)
		newcomer, ctx := h.come("198.51.100.7")
		if !crowd[0].closed || crowd[1].closed || other.closed || proxy.closed || newcomer.closed || connOf(ctx) == nil || len(h.all) != mostConns {
			t.Errorf("closed: the crowd's first %v, its second %v, another %v, the proxy %v, the newcomer %v; %d are open",
				crowd[0].closed, crowd[1].closed, other.closed, proxy.closed, newcomer.closed, len(h.all))
		}
		h.state(crowd[1], http.StateClosed)
		if _, _ = h.come("198.51.100.8"); crowd[1].closed || len(h.all) != mostConns {
			t.Error("a connection was closed though another had ended")
		}
	})
}

// A connection whose request is at work is not closed, unless it waits for the request's body. Where
// none waits, there is no place for another.
func TestAConnectionAtWorkIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		busy, ctx := h.come("192.0.2.1")
		reading, slow := h.come("192.0.2.1")
		h.serve(ctx, func() {
			h.serve(slow, func() {
				connOf(slow).work(-1) // as while a body is read
				time.Sleep(time.Second)
				h.fill("192.0.2.1", mostConns)
				if h.come("192.0.2.1"); busy.closed || !reading.closed {
					t.Errorf("closed: the one at work %v, the one that waits for a body %v", busy.closed, reading.closed)
				}
				connOf(slow).work(1)
			})
			for _, one := range h.all {
				one.work(1)
			}
			if last, ctx := h.come("203.0.113.5"); !last.closed || connOf(ctx) != nil {
				t.Error("there is a place though all are at work")
			}
		})
	})
}

// Proxies lose connections last: others are behind them.
func TestAProxyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		stranger, _ := h.come("192.0.2.1")
		proxies := h.fill("10.0.0.1", mostConns)
		if h.come("10.0.0.1"); !stranger.closed || proxies[0].closed {
			t.Error("a proxy's connection was closed before a stranger's")
		}
		if h.come("10.0.0.1"); !proxies[0].closed {
			t.Error("no connection was closed")
		}
	})
}

// A request that waits for its body is not at work, and is while its handler does something else.
func TestReadingABodyIsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served []int
		w := newWire(t, func(_ http.ResponseWriter, r *http.Request) {
			one := connOf(r.Context())
			note := func() {
				one.conns.mu.Lock()
				defer one.conns.mu.Unlock()
				served = append(served, one.served)
			}
			note()
			go func() { time.Sleep(time.Second); note() }()
			_, _ = io.Copy(io.Discard, r.Body)
			note()
		})
		w.begin(100, "half").is(http.StatusOK, time.Minute)
		if diff := cmp.Diff([]int{1, 0, 1}, served); diff != "" {
			t.Errorf("requests at work before, while and after the body is read (-want +got):\n%s", diff)
		}
	})
}
