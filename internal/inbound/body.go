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

// Small is how many bytes a body has at most unless its route says otherwise: all
// forms but that of a message fit in, and so does what the API takes as JSON.
const Small = 64 << 10

// Whole is the most bytes of a body that is no multipart/form-data, whatever its route
// says: handlers read such a body whole.
const Whole = 2 << 20

const (
	// usual is how long a body may take to come unless its route says otherwise.
	usual = 30 * time.Second
	// stall is how long a body may bring nothing, however long it may take in all.
	stall = 30 * time.Second
	// lingering is for how long net/http may read what a handler left of a body.
	lingering = 2 * time.Second
	// answering is how long the answer to a body may take that took longer than the
	// server's own WriteTimeout.
	answering = time.Minute
)

// Media types that routes take.
const (
	JSON      = "application/json"
	Form      = "application/x-www-form-urlencoded"
	Multipart = "multipart/form-data"
)

// Body is what a route takes of a request's body. The zero value is [Small] bytes of
// any media type but multipart/form-data.
type Body struct {
	// Types are the media types that the route takes, in lower case.
	Types []string
	// Most is the most bytes; 0: Small.
	Most int64
	// Over is how many bytes beyond Most are read and dropped, so that a client which
	// sends all of its body before it reads gets to read why it was refused.
	Over int64
	// Hold is how many bytes the route keeps in memory while it reads; 0: Most.
	Hold int64
	// Within is how long the whole body may take; 0: half a minute.
	Within time.Duration
}

// Errors of a body that can't be taken. Too large is *http.MaxBytesError.
var (
	ErrMediaType = errors.New("the content type is not understood here")
	ErrSlow      = errors.New("the request came too slowly: send it again")
	ErrBusy      = errors.New("too many large requests at a time: send it again in a moment")
	ErrCut       = errors.New("the request stopped half-way: send it again")
)

// IsRefusal says whether an error is of a body that was not taken.
func IsRefusal(err error) bool {
	return errors.As(err, new(*http.MaxBytesError)) || errors.Is(err, ErrMediaType) || errors.Is(err, ErrSlow) || errors.Is(err, ErrBusy) || errors.Is(err, ErrCut)
}

// Open has a route's body read as the route's row says, or fails with ErrMediaType. It
// is called after authentication, permission and the check of the origin; known says
// that the request was let through by them. Without Open a body is read up to Small.
func Open(r *http.Request, b Body, known bool) error {
	g, ok := r.Body.(*guard)
	if !ok { // mounted without NewServer, as in a test
		g = &guard{raw: r.Body, budgets: spare, ctx: r.Context()}
		r.Body = g
	}
	if hasBody(r) && !b.takes(r.Header) {
		return fmt.Errorf("%w: send %s", ErrMediaType, b.named())
	}
	if b.Most > Whole && MediaType(r.Header) != Multipart {
		b.Most = Whole
	}
	g.open(b, known)
	return nil
}

func hasBody(r *http.Request) bool {
	g, _ := r.Body.(*guard)
	return r.ContentLength != 0 && g.raw != nil && g.raw != http.NoBody
}

// takes says whether a route takes what the header declares. JSON may come without a
// type: the API takes nothing else.
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
			// The server's own deadline is for bodies: it would end a long answer.
			_ = control.SetReadDeadline(time.Time{})
			next.ServeHTTP(w, r)
			return
		}
		// A copy, so that net/http still knows its own body when it ends the request.
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

	opened  bool // by Open
	body    Body
	budget  *budget
	most    io.Reader // raw, up to body.Most
	begun   time.Time
	read    int64
	holding bool
	err     error // of the last Read, for good

	granted chan struct{} // closed once holding
	since   time.Time     // of holding

	mu      sync.Mutex
	evicted bool
}

func (g *guard) open(b Body, known bool) {
	if b.Most == 0 {
		b.Most = Small
	}
	if b.Hold == 0 {
		b.Hold = b.Most
	}
	if b.Within == 0 {
		b.Within = usual
	}
	g.opened, g.body, g.budget = true, b, &g.budgets.strangers
	if known {
		g.budget = &g.budgets.known
	}
	g.most = http.MaxBytesReader(g.w, g.raw, b.Most)
}

// Read implements io.Reader. Its errors are io.EOF, *http.MaxBytesError, ErrSlow,
// ErrBusy, and ErrCut for whatever else befalls a connection.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.body.Hold > Small {
		if g.read >= Small && !g.holding {
			if g.err = g.budget.take(g); g.err != nil {
				return 0, g.err
			}
		} else if left := Small - g.read; left > 0 && int64(len(p)) > left {
			p = p[:left]
		}
	}
	g.extend()
	n, err := g.most.Read(p)
	g.read += int64(n)
	if err != nil {
		g.err = g.why(err)
		if g.holding {
			g.budget.done(g)
		}
		if errors.Is(g.err, io.EOF) {
			g.deadline(time.Time{}) // what is still read is the next request
		}
	}
	return n, g.err
}

// why names an error of the connection.
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

// extend gives the client its time for the next bytes.
func (g *guard) extend() {
	if g.begun.IsZero() {
		g.begun = time.Now()
	}
	until := time.Now().Add(stall)
	if end := g.begun.Add(g.body.Within); end.Before(until) {
		until = end
	}
	g.deadline(until)
	if g.control != nil && g.body.Within > usual {
		_ = g.control.SetWriteDeadline(until.Add(answering))
	}
}

// deadline moves the deadline of reading, but of a body that was broken off.
func (g *guard) deadline(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.control != nil && !g.evicted {
		_ = g.control.SetReadDeadline(at)
	}
}

// evict breaks a body off: its Read, under way or next, fails with ErrBusy.
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

// finish drops what was sent beyond the limit, and gives back what the body held.
func (g *guard) finish() {
	large := (*http.MaxBytesError)(nil)
	if g.opened && g.read > 0 && g.body.Over > 0 && (g.err == nil || errors.As(g.err, &large)) {
		g.extend()
		_, _ = io.CopyN(io.Discard, g.raw, g.body.Over)
	}
	if g.holding {
		g.budget.give(g)
	}
	switch {
	case g.err == nil, errors.As(g.err, &large):
		g.deadline(time.Now().Add(lingering))
	case !errors.Is(g.err, io.EOF):
		g.deadline(time.Unix(1, 0)) // nothing more comes
	}
}
