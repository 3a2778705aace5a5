package notify

import (
	"context"
	"fmt"
	"math/bits"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/recordertest"
)

// carryOut answers the requests of a chunk until nothing is left to send, or the requests
// are at fault, and returns their number. Each request is planned only from the claims, as
// by a worker that takes the chunk after a crash.
func carryOut(t interface{ Fatal(...any) }, w *work, answer func(to []int) sendgrid.Result) (requests int) {
	for {
		again := &work{chunkRef: w.chunkRef, recipients: w.recipients, claims: slices.Clone(w.claims), sound: w.sound}
		if again.requestsAtFault().reason != "" {
			return requests
		}
		to := again.nextRequest(again.results())
		if len(to) == 0 {
			return requests
		}
		if requests++; requests > 4*len(w.recipients)+4 {
			t.Fatal("it never ends")
		}
		c := claim{request: len(w.claims), positions: to}
		c.take(answer(to), false)
		w.claims = append(w.claims, c)
	}
}

func crowd(n int) *work {
	w := &work{}
	for i := range n {
		w.recipients = append(w.recipients, recipient{no: int32(i + 1), email: fmt.Sprintf("p%d@x.test", i)}) // #nosec G115 -- few
	}
	return w
}

var refusedWhole = sendgrid.Result{Kind: sendgrid.Refused, Status: http.StatusBadRequest, Reason: "SendGrid refused it (400): Bad Request"}

// SendGrid refuses every request with one of a few recipients, and names none: these
// recipients fail with its reason, all others are accepted once, and the requests are few.
// Other answers of SendGrid in between don't change that.
func TestFaultyRecipientsAreFoundByHalving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, events.ChunkSize).Draw(t, "recipients")
		culprits := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, min(n, 4), rapid.ID[int]).Draw(t, "culprits")
		named := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 3).Draw(t, "named")
		sizes := rapid.SampledFrom([]int{events.ChunkSize, 100, 7}).Draw(t, "most in a request") // beyond it, 413
		w, accepted := crowd(n), map[int]int{}
		shared := rapid.IntRange(0, n-1).Draw(t, "who shares an address")
		w.recipients[shared].email = w.recipients[0].email
		requests := carryOut(t, w, func(to []int) sendgrid.Result {
			for _, p := range named {
				if slices.Contains(to, p) && !slices.Contains(culprits, p) {
					return sendgrid.Result{Kind: sendgrid.Refused, Status: 400, Refusals: []sendgrid.Refusal{{Position: p, Reason: "no such domain"}}}
				}
			}
			switch {
			case len(to) > sizes:
				return sendgrid.Result{Kind: sendgrid.Refused, Status: 413, Reason: "too large"}
			case slices.ContainsFunc(to, func(p int) bool { return slices.Contains(culprits, p) }):
				return refusedWhole
			}
			for _, p := range to {
				accepted[p]++
			}
			return sendgrid.Result{Kind: sendgrid.Accepted}
		})
		for p, f := range w.results() {
			switch {
			case slices.Contains(culprits, p):
				if f != (result{events.AlertFailed, refusedWhole.Reason}) {
					t.Errorf("recipient %d, who is at fault, is %v", p, f)
				}
			case slices.Contains(named, p):
				if f != (result{events.AlertFailed, "no such domain"}) {
					t.Errorf("recipient %d, who is named, is %v", p, f)
				}
			case f.state != events.AlertAccepted || accepted[p] != 1:
				t.Errorf("recipient %d is %v, accepted %d times", p, f, accepted[p])
			}
		}
		if most := 2*n/min(n, sizes) + 2*len(culprits)*bits.Len(uint(n)) + len(named) + 4; sizes == events.ChunkSize && requests > most { // #nosec G115 -- positive
			t.Errorf("%d requests for %d recipients, of whom %d are at fault", requests, n, len(culprits))
		}
	})
}

// If SendGrid refuses every recipient, no recipient is at fault. A few requests show it.
func TestNoRecipientFailsIfAllAreRefused(t *testing.T) {
	for _, n := range []int{leastAlone, firstAlone + spreadAlone, 100, events.ChunkSize} {
		w := crowd(n)
		requests := carryOut(t, w, func([]int) sendgrid.Result { return refusedWhole })
		if got := w.requestsAtFault(); got.reason != refusedWhole.Reason || requests > 30 {
			t.Errorf("of %d recipients: %q after %d requests", n, got.reason, requests)
		}
	}
	// A few recipients who are all refused may be at fault themselves.
	w := crowd(leastAlone - 1)
	carryOut(t, w, func([]int) sendgrid.Result { return refusedWhole })
	if got := w.requestsAtFault(); got.reason != "" {
		t.Errorf("of few: %q", got.reason)
	}
	// All recipients of a chunk are at fault where SendGrid accepts requests of other chunks.
	w = crowd(100)
	w.sound = true
	carryOut(t, w, func([]int) sendgrid.Result { return refusedWhole })
	for p, f := range w.results() {
		if f.state != events.AlertFailed {
			t.Errorf("recipient %d is %v", p, f)
		}
	}
}

// Many recipients are at fault, neighbours or spread: as long as some are not, those are
// accepted and the others fail.
func TestManyAtFaultAreFoundAmongAll(t *testing.T) {
	for name, atFault := range map[string]func(p int) bool{
		"the first 8":         func(p int) bool { return p < 8 },
		"the first 300":       func(p int) bool { return p < 300 },
		"the last 300":        func(p int) bool { return p >= 700 },
		"those in the middle": func(p int) bool { return p >= 400 && p < 600 },
		"every second":        func(p int) bool { return p%2 == 0 },
		"three of four":       func(p int) bool { return p%4 != 2 },
	} {
		t.Run(name, func(t *testing.T) {
			w, accepted := crowd(events.ChunkSize), map[int]int{}
			carryOut(t, w, func(to []int) sendgrid.Result {
				if slices.ContainsFunc(to, atFault) {
					return refusedWhole
				}
				for _, p := range to {
					accepted[p]++
				}
				return sendgrid.Result{Kind: sendgrid.Accepted}
			})
			wrong := 0
			for p, f := range w.results() {
				want := result{state: events.AlertAccepted}
				if atFault(p) {
					want = result{events.AlertFailed, refusedWhole.Reason}
				}
				if f != want || !atFault(p) && accepted[p] != 1 {
					wrong++
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d recipients are not what they should be; the requests are said to be at fault: %q", wrong, len(w.recipients), w.requestsAtFault().reason)
			}
		})
	}
}

// A chunk with nearly only faulty recipients does not wait for an operator forever: each
// try samples other recipients.
func TestEachTryTakesOtherSamples(t *testing.T) {
	w := crowd(events.ChunkSize)
	good := func(p int) bool { return p%40 == 21 }
	for range 60 {
		carryOut(t, w, func(to []int) sendgrid.Result {
			if slices.ContainsFunc(to, func(p int) bool { return !good(p) }) {
				return refusedWhole
			}
			return sendgrid.Result{Kind: sendgrid.Accepted}
		})
		if w.requestsAtFault().reason == "" {
			return
		}
		for i := range w.claims { // as takeRefusalsBack does
			w.claims[i].answer, w.claims[i].refusals = answerAgain, nil
		}
	}
	t.Error("no recipient without a fault was ever tried alone")
}

// All recipients of a chunk are at fault, and SendGrid names none of them. While it
// accepts nothing else either, the chunk waits; once it has accepted another request,
// they fail.
func TestAllOfAChunkAreAtFault(t *testing.T) {
	p := newPost(t, sendgridfake.Config{RefuseWhole: func(string) string { return "Bad Request" }})
	p.more(t, 30)
	if err := p.alertOrDefer(t.Context(), p.ref, 0); err != nil || len(p.outcomes) > 0 {
		t.Fatalf("%d outcomes were published, %v", len(p.outcomes), err)
	}
	p.refuses("") // as after a quarter of an hour
	send, requests := p.Send, 0
	p.Send = func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		if requests++; requests == 15 {
			p.exec(t, `INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients, answer, answered_at)
				VALUES (gen_random_uuid(), 0, 1, 0, gen_random_uuid(), gen_random_uuid(), '\x01', 'accepted', clock_timestamp())`)
		}
		return send(ctx, id, to)
	}
	for tries := 0; len(p.outcomes) == 0 && tries < 10; tries++ {
		p.pass(time.Minute)
		if err := p.retryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.outcomes) != 1 || p.outcomes[0].State != events.AlertFailed || len(p.outcomes[0].Exceptions) != 1 || p.fake.Count() != 0 {
		t.Errorf("after %d requests: %+v", requests, p.outcomes)
	}
}

// more adds recipients to the chunk of a post, up to n.
func (p *post) more(t *testing.T, n int) {
	t.Helper()
	p.exec(t, `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
		SELECT n, 'm' || n, 'M', 'm' || n || '@x.test', true FROM generate_series(6, $1::integer) n`, n)
	p.exec(t, `UPDATE record.messages SET delivered = $1`, n)
	p.exec(t, `UPDATE record.chunks SET deliveries = $1::integer, last_no = $1::integer`, n)
	p.exec(t, `DELETE FROM record.inbox`)
	p.exec(t, recordertest.Delivered(`SELECT $1::uuid, n, 0, '{}'::integer[] FROM generate_series(1, $2::integer) n`), p.ref.message, n)
}

// One faulty recipient does not affect the alerts of the others in the chunk.
func TestOneAtFaultIsFoundAmongAll(t *testing.T) {
	p := newPost(t, sendgridfake.Config{RefuseWhole: func(a string) string {
		if a == "e@x.test" {
			return "Bad Request"
		}
		return ""
	}})
	got := p.run(t)
	if got["a"] != accepted || got["b"] != accepted || got["c"] != accepted || got["d"] != skipped || got["e"] != failed {
		t.Errorf("they became %v", got)
	}
	if reason := p.outcomes[0].Exceptions[len(p.outcomes[0].Exceptions)-1].Reason; reason != "SendGrid refused it (400): Bad Request" {
		t.Errorf("e failed because %q", reason)
	}
	for address, n := range p.fake.Counts() {
		if n > 1 && address != "family@x.test" {
			t.Errorf("%s was mailed %d times", address, n)
		}
	}
}

// SendGrid refuses every request with the same reason, as for a sender that is not verified:
// no recipient fails, the chunk waits and is tried with one request at a time, and once
// SendGrid accepts requests again all recipients are alerted.
func TestAFaultOfAllRequestsIsForTheOperator(t *testing.T) {
	refusing := true
	p := newPost(t, sendgridfake.Config{RefuseWhole: func(string) string {
		if refusing {
			return "The from address does not match a verified Sender Identity"
		}
		return ""
	}})
	p.more(t, 30)
	if err := p.alertOrDefer(t.Context(), p.ref, 0); err != nil || len(p.outcomes) > 0 {
		t.Fatalf("%d outcomes were published, %v", len(p.outcomes), err)
	}
	first := len(p.fake.Requests())
	for range 3 {
		p.pass(time.Minute)
		if err := p.retryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if again := len(p.fake.Requests()) - first; again != 3 || first > 30 {
		t.Errorf("%d requests, and %d in three retries", first, again)
	}
	refusing = false
	p.pass(time.Minute)
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.outcomes) != 1 || p.outcomes[0].State != events.AlertAccepted || p.fake.Count() != 29 {
		t.Errorf("%d alerts were taken: %v", p.fake.Count(), p.outcomes)
	}
}

func (p *post) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}
