package inbound

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var discard = slog.New(slog.DiscardHandler)

// endless is a body that never ends, and counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// Without Open, a body is not read beyond DefaultBytes, whatever a handler does.
func TestABodyEnds(t *testing.T) {
	readAll := func(r *http.Request) error { _, err := io.Copy(io.Discard, r.Body); return err }
	for name, c := range map[string]struct {
		open  *Body
		is    string
		limit int64
	}{
		"a handler that asks for nothing":   {nil, "text/plain", DefaultBytes},
		"a small form":                      {&Body{}, Form, DefaultBytes},
		"a larger one":                      {&Body{MaxBytes: 1 << 20}, Form, 1 << 20},
		"what is read whole":                {&Body{MaxBytes: 1 << 30}, Form, LargestInMemory},
		"files":                             {&Body{Types: []string{Multipart}, MaxBytes: 8 << 20, Memory: 1 << 20}, Multipart + "; boundary=x", 8 << 20},
		"and some more, so that it is read": {&Body{MaxBytes: 1 << 20, Over: 2 << 20}, Form, 3 << 20},
	} {
		body, err := &endless{}, error(nil)
		h := NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if c.open != nil {
				if err := Open(r, *c.open, true); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			err = readAll(r)
		}), nil, discard).Handler
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.Header.Set("Content-Type", c.is)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if large := (*http.MaxBytesError)(nil); !errors.As(err, &large) {
			t.Errorf("%s: %v", name, err)
		}
		if body.read < c.limit || body.read > c.limit+64<<10 {
			t.Errorf("%s: %d bytes are read, the limit is %d", name, body.read, c.limit)
		}
	}
}

// wire is a server on connections within the process, for a bubble with a clock of its
// own.
type wire struct {
	t        *testing.T
	incoming chan net.Conn
	server   *http.Server
}

func (w *wire) Accept() (net.Conn, error) {
	c, ok := <-w.incoming
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (w *wire) Close() error   { return nil }
func (w *wire) Addr() net.Addr { return &net.TCPAddr{} }

func newWire(t *testing.T, h http.HandlerFunc) *wire {
	w := &wire{t: t, incoming: make(chan net.Conn), server: NewServer(h, nil, discard)}
	go func() { _ = w.server.Serve(w) }()
	t.Cleanup(func() {
		close(w.incoming)
		_ = w.server.Close()
		time.Sleep(time.Minute) // net/http keeps a connection for a moment after it has answered
		synctest.Wait()
	})
	return w
}

// begin sends the beginning of a request, whose body is length bytes long.
func (w *wire) begin(length int, body string) *sender {
	client, server := net.Pipe()
	w.incoming <- server
	s := &sender{t: w.t, conn: client, answer: make(chan int, 1)}
	go func() {
		defer close(s.answer)
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err == nil {
			s.answer <- res.StatusCode
			_, _ = io.Copy(io.Discard, client)
		}
	}()
	go func() {
		_, _ = fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", length, body)
	}()
	w.t.Cleanup(func() { _ = client.Close() })
	synctest.Wait()
	return s
}

type sender struct {
	t      *testing.T
	conn   net.Conn
	answer chan int
}

// is demands what is answered, and after how long.
func (s *sender) is(status int, after time.Duration) {
	s.t.Helper()
	began := time.Now()
	got := <-s.answer
	if waited := time.Since(began); got != status || waited > after {
		s.t.Errorf("it is answered with %d after %v, want %d within %v", got, waited, status, after)
	}
}

// answering takes a body of two mebibytes of a stranger, as the webhook does.
func large(w http.ResponseWriter, r *http.Request) {
	_ = Open(r, Body{MaxBytes: 2 << 20, Memory: 4 << 20}, false)
	_, err := io.Copy(io.Discard, r.Body)
	switch {
	case errors.Is(err, ErrSlow):
		w.WriteHeader(http.StatusRequestTimeout)
	case errors.Is(err, ErrBusy):
		w.WriteHeader(http.StatusServiceUnavailable)
	case errors.Is(err, ErrCut):
		w.WriteHeader(http.StatusBadRequest)
	case err != nil:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}
}

func TestABodyComesWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, large)
		w.begin(100, "half").is(http.StatusRequestTimeout, 31*time.Second)
	})
	synctest.Test(t, func(t *testing.T) { // a byte now and then does not help
		w := newWire(t, large)
		s := w.begin(100, "half")
		go func() {
			for {
				time.Sleep(10 * time.Second)
				if _, err := s.conn.Write([]byte(".")); err != nil {
					return
				}
			}
		}()
		s.is(http.StatusRequestTimeout, 31*time.Second)
	})
	synctest.Test(t, func(t *testing.T) { // and an upload may take longer, but not pause
		w := newWire(t, func(w http.ResponseWriter, r *http.Request) {
			_ = Open(r, Body{Within: time.Hour}, true)
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		})
		s := w.begin(100, strings.Repeat(".", 50))
		for range 50 {
			time.Sleep(20 * time.Second)
			if _, err := s.conn.Write([]byte(".")); err != nil {
				t.Fatal(err)
			}
		}
		s.is(http.StatusOK, 0)
		w.begin(100, "half").is(http.StatusRequestTimeout, 31*time.Second)
	})
	synctest.Test(t, func(t *testing.T) { // a body that is not read is not waited for either
		w := newWire(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
		w.begin(100, "half").is(http.StatusUnauthorized, 3*time.Second)
		w.begin(1<<30, "half").is(http.StatusUnauthorized, 3*time.Second)
	})
}

// A long answer to a request without a body is not ended by the time that bodies have.
func TestALongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		w := newWire(t, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(2 * time.Minute):
			}
			ended <- r.Context().Err()
		})
		for _, length := range []int{0, 4} {
			s := w.begin(length, strings.Repeat(".", length))
			if err := <-ended; err != nil {
				t.Errorf("with %d bytes: %v", length, err)
			}
			s.is(http.StatusOK, 0)
		}
	})
}

// If strangers fill their memory with endless bodies, a body that arrives quickly is still
// read, and authenticated clients are not affected.
func TestUnfinishedBodiesLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// What is held is looked at from below: the budget says how much is free.
		var low atomic.Int64
		low.Store(strangersBytes)
		w := newWire(t, func(w http.ResponseWriter, r *http.Request) {
			b := &r.Body.(*guard).budgets.strangers
			large(w, r)
			b.mu.Lock()
			defer b.mu.Unlock()
			low.Store(min(low.Load(), b.free))
		})
		var unfinished []*sender
		for range 100 {
			unfinished = append(unfinished, w.begin(2<<20, strings.Repeat(".", DefaultBytes+1)))
		}
		time.Sleep(2 * time.Second)
		w.begin(DefaultBytes+10, strings.Repeat(".", DefaultBytes+10)).is(http.StatusOK, 2*time.Second)
		broken := 0
		for _, s := range unfinished {
			if got := <-s.answer; got == http.StatusServiceUnavailable {
				broken++
			} else if got != http.StatusRequestTimeout {
				t.Errorf("an unfinished one is answered with %d", got)
			}
		}
		if broken == 0 {
			t.Error("none was broken off")
		}
		if low.Load() < 0 {
			t.Errorf("%d bytes more than the budget are held", -low.Load())
		}
	})
}

// Strangers and authenticated clients have separate budgets.
func TestBudgetsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudgets()
		stranger := func() *guard { return &guard{body: Body{Memory: 4 << 20}, ctx: t.Context()} }
		for range strangersBytes / (4 << 20) {
			if err := b.strangers.reserve(stranger()); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		late := stranger()
		go func() { // an evicted one gives back what it held
			time.Sleep(2 * time.Second)
			b.strangers.release(late)
		}()
		late.holding = true
		if err := b.strangers.reserve(stranger()); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("strangers wait %v: %v", time.Since(began), err)
		}
		one := stranger()
		if err := b.known.reserve(one); err != nil {
			t.Errorf("authenticated clients wait for strangers: %v", err)
		}
		b.known.release(one)
		if b.known.free != knownBytes || len(b.known.reading) != 0 || len(b.known.waiting) != 0 {
			t.Errorf("%d is free, %d are reading", b.known.free, len(b.known.reading))
		}
		began = time.Now()
		if err := b.strangers.reserve(stranger()); !errors.Is(err, ErrBusy) || time.Since(began) != queueTimeout {
			t.Errorf("without room: %v after %v", err, time.Since(began))
		}
		if len(b.strangers.waiting) != 0 {
			t.Error("one waits that has given up")
		}
	})
}
