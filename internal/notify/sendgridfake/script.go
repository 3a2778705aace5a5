package sendgridfake

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Step is what the fake does with one request. The zero Step is what SendGrid
// does on a good day: judge it, take it, answer 202. A request that SendGrid
// would refuse is refused under any step that would have taken it.
type Step struct {
	// Unread acts before the body is read; nothing is taken.
	Unread bool
	// Take keeps the mail although Status or Reset tell the client otherwise.
	Take bool
	// Hang holds the answer back until it is closed, the client has gone or the
	// fake is closed; in the latter two cases nothing is answered.
	Hang <-chan struct{}
	// Reset breaks the connection instead of answering.
	Reset bool
	// Status is answered instead of SendGrid's own, with Header and Body.
	Status int
	Header http.Header
	Body   string
	// RetryIn goes with Status 429 as X-RateLimit-Reset, a moment of the fake's
	// clock rounded up to the second; 0 sends none.
	RetryIn time.Duration
}

// RateLimit answers 429 and asks to come back after wait.
func RateLimit(wait time.Duration) Step {
	return Step{Status: http.StatusTooManyRequests, RetryIn: wait}
}

// Fail answers with a status, such as 503, and takes nothing.
func Fail(status int) Step { return Step{Status: status} }

// TimeoutBefore takes nothing and answers nothing until the client gives up or
// gate, which may be nil, is closed; then it breaks the connection.
func TimeoutBefore(gate <-chan struct{}) Step { return Step{Hang: orNever(gate), Reset: true} }

// TimeoutAfter is TimeoutBefore, but the mail is taken first.
func TimeoutAfter(gate <-chan struct{}) Step {
	return Step{Take: true, Hang: orNever(gate), Reset: true}
}

// Hold takes the mail and answers 202 when gate is closed.
func Hold(gate <-chan struct{}) Step { return Step{Hang: gate} }

// ResetUnread breaks the connection before the body is read.
func ResetUnread() Step { return Step{Unread: true, Reset: true} }

// ResetBefore breaks the connection after the body is read; nothing is taken.
func ResetBefore() Step { return Step{Reset: true} }

// ResetAfter takes the mail and breaks the connection.
func ResetAfter() Step { return Step{Take: true, Reset: true} }

func orNever(gate <-chan struct{}) <-chan struct{} {
	if gate == nil {
		return make(chan struct{})
	}
	return gate
}

// takes says whether a good request is kept.
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
	words := http.StatusText(a.status)
	if a.status == http.StatusTooManyRequests {
		words = "too many requests"
		a.header.Set("X-RateLimit-Limit", "600")
		a.header.Set("X-RateLimit-Remaining", "0")
		if s.RetryIn > 0 {
			until := now.Add(s.RetryIn + time.Second - 1).Unix()
			a.header.Set("X-RateLimit-Reset", strconv.FormatInt(until, 10))
		}
	}
	a.body = errorBody(fault{Message: words})
	return a
}

// Queue gives steps to the next requests, one each, before any script is asked.
func (f *Fake) Queue(steps ...Step) { f.script.queue(steps) }

// Script asks decide about every request that finds no step queued; nil ends
// that. decide may be called from several requests at once.
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

// Mix is a script that draws each request's fault at random. Each field is a
// share from 0 to 1; what they leave is taken.
type Mix struct {
	RateLimit, ServerError               float64
	TimeoutBefore, TimeoutAfter          float64
	ResetUnread, ResetBefore, ResetAfter float64
	// RetryIn is what a rate limit asks to wait.
	RetryIn time.Duration
	// Seed makes the draws the same again, in the order of the requests.
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
		// A generator a request: the draw depends on the number alone, not on
		// which of two concurrent requests asks first.
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

// badRequest is all that SendGrid says of a body it can't read.
var badRequest = fault{Message: "Bad Request"}

func errorBody(faults ...fault) []byte {
	// Strings alone: there is nothing that Marshal could refuse.
	body, _ := json.Marshal(struct {
		Errors []fault `json:"errors"`
	}{faults})
	return body
}

func refusal(status int, faults ...fault) answer {
	return answer{status: status, body: errorBody(faults...)}
}
