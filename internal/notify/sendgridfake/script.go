package sendgridfake

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Step is the fake's behaviour for one request. The zero Step is SendGrid's normal
// behaviour: check the request, store the mail, answer 202. A request that SendGrid would
// refuse is refused under any step that stores the mail.
type Step struct {
	// Unread runs the step before the body is read; the mail is not stored.
	Unread bool
	// Take stores the mail even if Status or Reset indicate an error to the client.
	Take bool
	// Hang delays the answer until the channel is closed, the client disconnects or the
	// fake is closed; in the latter two cases there is no answer.
	Hang <-chan struct{}
	// Reset breaks the connection instead of answering.
	Reset bool
	// Status replaces SendGrid's status, with Header and Body.
	Status int
	Header http.Header
	Body   string
	// RetryIn is sent with Status 429 as X-RateLimit-Reset, a time of the fake's clock
	// rounded up to the second; 0 sends none.
	RetryIn time.Duration
}

// RateLimit answers 429 and asks for a retry after wait.
func RateLimit(wait time.Duration) Step {
	return Step{Status: http.StatusTooManyRequests, RetryIn: wait}
}

// Fail answers with a status, such as 503, and does not store the mail.
func Fail(status int) Step { return Step{Status: status} }

// TimeoutBefore does not store the mail and does not answer. When the client gives up or
// gate, which may be nil, is closed, it breaks the connection.
func TimeoutBefore(gate <-chan struct{}) Step { return Step{Hang: orNever(gate), Reset: true} }

// TimeoutAfter is TimeoutBefore, but stores the mail first.
func TimeoutAfter(gate <-chan struct{}) Step {
	return Step{Take: true, Hang: orNever(gate), Reset: true}
}

// Hold stores the mail and answers 202 when gate is closed.
func Hold(gate <-chan struct{}) Step { return Step{Hang: gate} }

// ResetUnread breaks the connection before the body is read.
func ResetUnread() Step { return Step{Unread: true, Reset: true} }

// ResetBefore breaks the connection after the body is read, without storing the mail.
func ResetBefore() Step { return Step{Reset: true} }

// ResetAfter stores the mail and breaks the connection.
func ResetAfter() Step { return Step{Take: true, Reset: true} }

func orNever(gate <-chan struct{}) <-chan struct{} {
	if gate == nil {
		return make(chan struct{})
	}
	return gate
}

// takes reports whether the mail of an acceptable request is stored.
func (s Step) takes() bool {
	return s.Take || (!s.Reset && s.Status == 0) || s.Status == http.StatusAccepted
}

func (s Step) answer(now time.Time) answer {
	a := answer{status: s.Status, header: http.Header{}, body: []byte(s.Body)}
	if a.status == 0 {
		a.status = http.StatusAccepted
	}
	for name, values := range s.Header {
		a.header[name] = append([]string(nil), values...)
	}
	if len(a.body) > 0 || a.status == http.StatusAccepted {
		return a
	}
	text := http.StatusText(a.status)
	if a.status == http.StatusTooManyRequests {
		text = "too many requests"
		a.header.Set("X-RateLimit-Limit", "600")
		a.header.Set("X-RateLimit-Remaining", "0")
		if s.RetryIn > 0 {
			until := now.Add(s.RetryIn + time.Second - 1).Unix()
			a.header.Set("X-RateLimit-Reset", strconv.FormatInt(until, 10))
		}
	}
	a.body = errorBody(fault{Message: text})
	return a
}

// Queue sets the steps of the next requests, one each. They come before a script.
func (f *Fake) Queue(steps ...Step) { f.script.queue(steps) }

// Script uses decide for every request without a queued step; nil removes the script.
// decide is called concurrently.
func (f *Fake) Script(decide func(RequestInfo) Step) { f.script.set(decide) }

type script struct {
	mu      sync.Mutex
	number  int
	waiting []Step
	decide  func(RequestInfo) Step
}

func (s *script) nextNumber() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return s.number
}

func (s *script) queue(steps []Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, steps...)
}

func (s *script) set(decide func(RequestInfo) Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide = decide
}

func (s *script) step(info RequestInfo) Step {
	s.mu.Lock()
	if len(s.waiting) > 0 {
		defer s.mu.Unlock()
		step := s.waiting[0]
		s.waiting = s.waiting[1:]
		return step
	}
	decide := s.decide
	s.mu.Unlock()
	if decide == nil {
		return Step{}
	}
	return decide(info)
}

// Mix is a script that draws each request's fault at random. Each field is a share from 0
// to 1; the remaining requests are accepted.
type Mix struct {
	RateLimit, ServerError               float64
	TimeoutBefore, TimeoutAfter          float64
	ResetUnread, ResetBefore, ResetAfter float64
	// RetryIn is the wait of a rate limit.
	RetryIn time.Duration
	// Seed determines the faults by the number of the request.
	Seed uint64
}

// Script gives the mix as a script for Fake.Script.
func (m Mix) Script() func(RequestInfo) Step {
	shares := []struct {
		share float64
		step  func() Step
	}{
		{m.RateLimit, func() Step { return RateLimit(m.RetryIn) }},
		{m.ServerError, func() Step { return Fail(http.StatusServiceUnavailable) }},
		{m.TimeoutBefore, func() Step { return TimeoutBefore(nil) }},
		{m.TimeoutAfter, func() Step { return TimeoutAfter(nil) }},
		{m.ResetUnread, ResetUnread},
		{m.ResetBefore, ResetBefore},
		{m.ResetAfter, ResetAfter},
	}
	return func(info RequestInfo) Step {
		// Each request has its own generator: the fault depends only on the request's
		// number, not on the order of concurrent requests.
		drawn := rand.New(rand.NewPCG(m.Seed, uint64(info.Number))).Float64() // #nosec G404 G115 -- draws faults for a test, from a count
		for _, s := range shares {
			if drawn < s.share {
				return s.step()
			}
			drawn -= s.share
		}
		return Step{}
	}
}

// fault is one entry of SendGrid's errors.
type fault struct {
	Message string  `json:"message"`
	Field   *string `json:"field"`
	Help    *string `json:"help"`
}

// badRequest is SendGrid's only error for a body that it can't read.
var badRequest = fault{Message: "Bad Request"}

func errorBody(faults ...fault) []byte {
	// Marshal can't fail: there are only strings.
	body, _ := json.Marshal(struct {
		Errors []fault `json:"errors"`
	}{faults})
	return body
}

func refusal(status int, faults ...fault) answer {
	return answer{status: status, body: errorBody(faults...)}
}
