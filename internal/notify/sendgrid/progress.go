package sendgrid

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http/httptrace"
	"net/url"
	"sync"
)

// progress follows how far one request got onto the wire. net/http calls it
// from its connection's goroutines, and over HTTP/1.1 has stopped writing
// before it returns an error.
type progress struct {
	mu    sync.Mutex
	stage stage
}

type stage int

const (
	// unwritten: no connection yet, or one that broke before the whole request
	// was written. A server that has not the whole body can't have taken it.
	unwritten stage = iota
	// written: the whole request was handed to the connection.
	written
	// untold: on this connection one can't be sure.
	untold
)

func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Called again when net/http turns to another connection, which it does
		// only when not one byte of this request was written to the first.
		GotConn: func(info httptrace.GotConnInfo) {
			if c, ok := info.Conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
				p.set(untold)
				return
			}
			p.set(unwritten)
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				p.set(written)
			}
		},
	})
}

func (p *progress) set(s stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage != untold {
		p.stage = s
	}
}

// result says what a request that got no answer came to.
func (p *progress) result(err error) Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage == unwritten {
		return Result{Kind: Unavailable, Reason: "the request could not be handed over: " + cause(err)}
	}
	return Result{Kind: Unknown, Reason: "no answer came: " + cause(err)}
}

// cause is err without the URL that net/http puts before it.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	if errors.Is(err, context.Canceled) {
		return "it was called off"
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	return clean(err.Error(), "")
}
