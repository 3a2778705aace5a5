package sendgridfake

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Config configures a fake. With the zero Config it accepts everything that SendGrid
// accepts, and keeps all mails.
type Config struct {
	// APIKey is the only accepted key; if it is empty, every key is accepted.
	APIKey string
	// Keep is the smallest number of recipients to keep; older ones are deleted, a
	// request at a time. 0 keeps all, at about 45 bytes each plus the address.
	Keep int
	// Refuse gives the reason for which an address is refused, or "" if it is not. It is
	// called concurrently.
	Refuse func(address string) string
	// RefuseWhole gives the reason for which a request with the address is refused with
	// 400, without naming the recipient at fault, or "". It is called concurrently.
	RefuseWhole func(address string) string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Fake is a stand-in for one SendGrid account.
type Fake struct {
	config Config
	closed chan struct{}
	close  sync.Once
	kept   mailStore
	script script
}

// New makes a fake. The caller closes it.
func New(c Config) *Fake {
	if c.Now == nil {
		c.Now = time.Now
	}
	f := &Fake{config: c, closed: make(chan struct{})}
	f.kept.init(c.Keep)
	return f
}

// Close ends every request that hangs in a step. It may be called more than once.
func (f *Fake) Close() { f.close.Do(func() { close(f.closed) }) }

// RequestInfo describes one request, POST /v3/mail/send. A script gets only Number, At
// and Size; the other fields are set later.
type RequestInfo struct {
	// Number counts requests from 1.
	Number int
	At     time.Time
	// Size is the body's Content-Length, -1 if there is none.
	Size int64
	// Attempt is the first recipient's attempt_id, if it has one.
	Attempt uuid.UUID
	// Recipients is the number of recipients.
	Recipients int
	// Status is the status of the answer, 0 if there was no answer.
	Status int
	// Taken says whether the mail was stored, whatever the answer.
	Taken bool
	// MessageID is the X-Message-Id of a request whose mail was stored.
	MessageID string
}

// ServeHTTP implements SendGrid's endpoint.
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/v3/mail/send") {
		writeAnswer(w, refusal(http.StatusNotFound, fault{Message: "not found"}))
		return
	}
	info := RequestInfo{Number: f.script.nextNumber(), At: f.config.Now(), Size: r.ContentLength}
	step, a := f.decide(w, r, f.script.step(info), &info)
	f.finish(w, r, step, a, info)
}

// decide runs the step up to the answer, and gives the step and the answer for finish.
func (f *Fake) decide(w http.ResponseWriter, r *http.Request, step Step, info *RequestInfo) (Step, answer) {
	if step.Unread {
		return step, step.answer(info.At)
	}
	req, refused := f.examine(w, r)
	if req != nil {
		defer req.release()
		info.Attempt, info.Recipients = req.attempt(), len(req.recipients)
	}
	if step.takes() {
		if refused.status != 0 {
			return Step{}, refused
		}
		info.Taken, info.MessageID = true, newMessageID()
		// Stored before the answer: when a client gets the answer, a test already finds
		// the mail here.
		f.kept.take(info.At, info.MessageID, req)
	}
	a := step.answer(info.At)
	if info.Taken && a.status == http.StatusAccepted && a.header.Get("X-Message-Id") == "" {
		a.header.Set("X-Message-Id", info.MessageID)
	}
	return step, a
}

// examine reads and checks a request. It gives the request, nil if it could not be read,
// and a refusal, with status 0 if the request is acceptable. The caller releases the
// request.
func (f *Fake) examine(w http.ResponseWriter, r *http.Request) (*request, answer) {
	if r.Method != http.MethodPost {
		return nil, refusal(http.StatusMethodNotAllowed, fault{Message: "method not allowed"})
	}
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || key == "" {
		return nil, refusal(http.StatusUnauthorized, fault{Message: "Permission denied, wrong credentials"})
	}
	if f.config.APIKey != "" && key != f.config.APIKey {
		return nil, refusal(http.StatusUnauthorized, fault{Message: "The provided authorization grant is invalid, expired, or revoked"})
	}
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") || r.Header.Get("Content-Encoding") != "" {
		return nil, refusal(http.StatusUnsupportedMediaType, fault{Message: "Content-Type should be application/json."})
	}
	req := newRequest()
	if err := req.readBody(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		req.release()
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, refusal(http.StatusRequestEntityTooLarge, fault{Message: "Request Entity Too Large"})
		}
		return nil, refusal(http.StatusBadRequest, badRequest)
	}
	req.parse(f.config.Refuse)
	if len(req.faults) > 0 {
		return req, refusal(http.StatusBadRequest, req.faults...)
	}
	if reason := req.refusedWhole(f.config.RefuseWhole); reason != "" {
		return req, refusal(http.StatusBadRequest, fault{Message: reason})
	}
	return req, answer{}
}

// finish waits for step.Hang, logs the request, and resets the connection or answers.
func (f *Fake) finish(w http.ResponseWriter, r *http.Request, step Step, a answer, info RequestInfo) {
	if step.Hang != nil {
		select {
		case <-step.Hang:
		case <-r.Context().Done():
			step.Reset = true
		case <-f.closed:
			step.Reset = true
		}
	}
	if step.Reset {
		f.kept.log(info)
		reset(w)
		return
	}
	info.Status = a.status
	f.kept.log(info)
	w.Header().Set("Date", f.config.Now().UTC().Format(http.TimeFormat))
	writeAnswer(w, a)
}

// reset ends the connection with a TCP reset, as after a crash, not with an orderly
// close.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = inner.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// answer is an HTTP answer to be written.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// newMessageID gives a random id in SendGrid's form: 22 characters of base64url.
func newMessageID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func writeAnswer(w http.ResponseWriter, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if len(a.body) > 0 && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	if w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// Serve runs the fake as a server on l until ctx ends: the endpoint under /v3/, the
// mailbox under every other path. It closes l and the fake.
func (f *Fake) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("/v3/", f)
	mux.Handle("/", f.Mailbox())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		f.Close()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if stop() {
		f.Close()
		return fmt.Errorf("serving the stand-in for SendGrid: %w", err)
	}
	<-ended
	return nil
}
