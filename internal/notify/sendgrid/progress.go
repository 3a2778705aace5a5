package sendgrid

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http/httptrace"
	"net/url"
	"sync"
)

// progress tracks how much of one request was written. net/http calls it from the
// connection's goroutines. Over HTTP/1.1, net/http has stopped writing before it returns
// an error.
type progress struct {
	mu    sync.Mutex
	stage stage
}

type stage int

const (
	// unwritten: no connection yet, or one that broke before the complete request was
	// written. A server without the complete body can't have accepted the request.
	unwritten stage = iota
	// written: the complete request was written to the connection.
	written
	// uncertain: over HTTP/2 the progress is not known.
	uncertain
)

func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Called again if net/http changes to another connection, which it does only if
		// no byte of this request was written to the first.
		GotConn: func(info httptrace.GotConnInfo) {
			if c, ok := info.Conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
				p.set(uncertain)
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
	if p.stage != uncertain {
		p.stage = s
	}
}

// result gives the result of a request without an answer. The texts of its reasons are
// stored: they don't change.
func (p *progress) result(err error) Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage == unwritten {
		return Result{Kind: Unavailable, Reason: "the request could not be handed over: " + cause(err)}
	}
	return Result{Kind: Unknown, Reason: "no answer came: " + cause(err)}
}

// cause gives the text of err without net/http's prefix with the URL.
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
