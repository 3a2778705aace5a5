package inbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// DefaultBytes is the most bytes of a body unless its route accepts more. All forms other than
// that of a message fit, and so does the JSON of most API operations.
const DefaultBytes = 64 << 10

// LargestInMemory is the most bytes of a body that is not multipart/form-data, even if its route
// accepts more, because handlers read such a body into memory.
const LargestInMemory = 2 << 20

const (
	// bodyTimeout is how long a whole body may take unless its route allows more.
	bodyTimeout = 30 * time.Second
	// stallTimeout is the longest pause within a body.
	stallTimeout = 30 * time.Second
	// drainTimeout is how long net/http may read the rest of a body after its handler.
	drainTimeout = 2 * time.Second
	// answerTimeout is the time for the answer to a body that may take longer than
	// bodyTimeout.
	answerTimeout = time.Minute
)

// Media types that routes accept.
const (
	JSON      = "application/json"
	Form      = "application/x-www-form-urlencoded"
	Multipart = "multipart/form-data"
)

// Body is a route's limits on a request's body. The zero value allows [DefaultBytes] bytes of any
// media type except multipart/form-data.
type Body struct {
	// Types are the media types that the route accepts, in lower case.
	Types []string
	// MaxBytes is the largest size of the body; 0 means DefaultBytes.
	MaxBytes int64
	// Over is the number of bytes beyond MaxBytes that are read and dropped. A client that sends
	// its whole body before it reads the answer can then read why it was refused.
	Over int64
	// Memory is the number of bytes that the route keeps in memory while it reads; 0 means
	// MaxBytes.
	Memory int64
	// Within is how long the whole body may take; 0 means half a minute.
	Within time.Duration
}

// Errors of a refused body. The error of a body that is too large is *http.MaxBytesError.
var (
	ErrMediaType = errors.New("the content type is not understood here")
	ErrSlow      = errors.New("the request came too slowly: send it again")
	ErrBusy      = errors.New("too many large requests at a time: send it again in a moment")
	ErrCut       = errors.New("the request stopped half-way: send it again")
)

// IsRefusal reports whether an error is that of a refused body.
func IsRefusal(err error) bool {
	return errors.As(err, new(*http.MaxBytesError)) || errors.Is(err, ErrMediaType) || errors.Is(err, ErrSlow) || errors.Is(err, ErrBusy) || errors.Is(err, ErrCut)
}

// Open applies a route's limits to the request's body, or fails with ErrMediaType. Call it
// after authentication, authorisation and the check of the origin. known means that the
// client is authenticated. Without Open a body is read up to DefaultBytes.
func Open(r *http.Request, b Body, known bool) error {
	g, ok := r.Body.(*guard)
	if !ok { // served without NewServer, as in a test
		g = &guard{raw: r.Body, budgets: defaultBudgets, ctx: r.Context()}
		r.Body = g
	}
	if hasBody(r) && !b.takes(r.Header) {
		return fmt.Errorf("%w: send %s", ErrMediaType, b.named())
	}
	if b.MaxBytes > LargestInMemory && MediaType(r.Header) != Multipart {
		b.MaxBytes = LargestInMemory
	}
	g.open(b, known)
	return nil
}

func hasBody(r *http.Request) bool {
	g, _ := r.Body.(*guard)
	return r.ContentLength != 0 && g.raw != nil && g.raw != http.NoBody
}

// takes reports whether a route accepts the media type in the header. JSON may have no
// media type, because the API accepts nothing else.
func (b Body) takes(h http.Header) bool {
	if len(h.Values(contentType)) == 0 {
		return len(b.Types) == 0 || slices.Contains(b.Types, JSON)
	}
	is := MediaType(h)
	if len(b.Types) == 0 {
		return is != "" && is != Multipart
	}
	return slices.Contains(b.Types, is) || slices.Contains(b.Types, JSON) && isJSON(is)
}

func (b Body) named() string {
	switch {
	case len(b.Types) == 0:
		return "no form with files"
	case len(b.Types) == 1:
		return b.Types[0]
	}
	return b.Types[0] + " or " + b.Types[1]
}

// limited guards the body of every request that next handles.
func limited(budgets *budgets, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body == nil || r.Body == http.NoBody {
			// The server's read deadline is for bodies. It would end a long answer.
			_ = control.SetReadDeadline(time.Time{})
			next.ServeHTTP(w, r)
			return
		}
		// A copy, so that net/http keeps its own body for the end of the request.
		r = r.WithContext(r.Context())
		g := &guard{raw: r.Body, w: w, control: control, budgets: budgets, ctx: r.Context()}
		g.open(Body{}, false)
		g.opened = false
		r.Body = g
		defer g.finish()
		next.ServeHTTP(w, r)
	})
}

// A guard is the body of a request as handlers see it. It is read by one goroutine at
// a time; only evict is called by others.
type guard struct {
	raw     io.ReadCloser
	w       http.ResponseWriter
	control *http.ResponseController // nil: deadlines can't be moved
	budgets *budgets
	ctx     context.Context // of the request

	opened  bool // Open was called
	body    Body
	budget  *budget
	most    io.Reader // raw, up to body.MaxBytes
	begun   time.Time
	read    int64
	holding bool  // memory is reserved
	err     error // of the last Read; later ones return it again

	granted chan struct{} // closed when memory is reserved
	since   time.Time     // when it was reserved

	mu      sync.Mutex
	evicted bool
}

func (g *guard) open(b Body, known bool) {
	if b.MaxBytes == 0 {
		b.MaxBytes = DefaultBytes
	}
	if b.Memory == 0 {
		b.Memory = b.MaxBytes
	}
	if b.Within == 0 {
		b.Within = bodyTimeout
	}
	g.opened, g.body, g.budget = true, b, &g.budgets.strangers
	if known {
		g.budget = &g.budgets.known
	}
	g.most = http.MaxBytesReader(g.w, g.raw, b.MaxBytes)
}

// Read implements io.Reader. Its errors are io.EOF, *http.MaxBytesError, ErrSlow, ErrBusy,
// and ErrCut for every other error of the connection.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.body.Memory > DefaultBytes {
		if g.read >= DefaultBytes && !g.holding {
			if g.err = g.budget.reserve(g); g.err != nil {
				return 0, g.err
			}
		} else if left := DefaultBytes - g.read; left > 0 && int64(len(p)) > left {
			p = p[:left]
		}
	}
	g.extend()
	connOf(g.ctx).work(-1)
	n, err := g.most.Read(p)
	connOf(g.ctx).work(1)
	g.read += int64(n)
	if err != nil {
		g.err = g.why(err)
		if g.holding {
			g.budget.done(g)
		}
		if errors.Is(g.err, io.EOF) {
			g.deadline(time.Time{}) // the next bytes are the next request
		}
	}
	return n, g.err
}

// why turns an error of the connection into one of Read.
func (g *guard) why(err error) error {
	large := (*http.MaxBytesError)(nil)
	switch {
	case err == io.EOF, errors.As(err, &large):
		return err
	case g.isEvicted():
		return ErrBusy
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSlow
	}
	return fmt.Errorf("%w (%w)", ErrCut, err)
}

// extend extends the deadline for the next bytes.
func (g *guard) extend() {
	if g.begun.IsZero() {
		g.begun = time.Now()
	}
	until := time.Now().Add(stallTimeout)
	if end := g.begun.Add(g.body.Within); end.Before(until) {
		until = end
	}
	g.deadline(until)
	if g.control != nil && g.body.Within > bodyTimeout {
		_ = g.control.SetWriteDeadline(until.Add(answerTimeout))
	}
}

// deadline sets the read deadline, unless the body was aborted.
func (g *guard) deadline(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.control != nil && !g.evicted {
		_ = g.control.SetReadDeadline(at)
	}
}

// evict aborts a body: its current or next Read fails with ErrBusy.
func (g *guard) evict() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.evicted = true
	if g.control != nil {
		_ = g.control.SetReadDeadline(time.Unix(1, 0))
	}
}

func (g *guard) isEvicted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.evicted
}

// Close implements io.Closer. The server closes the body itself.
func (g *guard) Close() error { return nil }

// finish reads and drops bytes beyond the limit, and releases the body's memory.
func (g *guard) finish() {
	large := (*http.MaxBytesError)(nil)
	if g.opened && g.read > 0 && g.body.Over > 0 && (g.err == nil || errors.As(g.err, &large)) {
		g.extend()
		_, _ = io.CopyN(io.Discard, g.raw, g.body.Over)
	}
	if g.holding {
		g.budget.release(g)
	}
	switch {
	case g.err == nil, errors.As(g.err, &large):
		g.deadline(time.Now().Add(drainTimeout))
	case !errors.Is(g.err, io.EOF):
		g.deadline(time.Unix(1, 0)) // read nothing more
	}
}
