package torture

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/notify/sendgridfake"
)

// SendGrid on its worst day: it answers 30% of requests with 429 and 10% with a 5xx; 5%
// time out, and for 5% the connection is reset after the body. In half of both cases
// SendGrid took the alerts. Each alert reaches a final state, and none is accepted
// twice. For an unknown alert it is impossible to know whether SendGrid accepted it.
func TestSendGridOnItsWorstDay(t *testing.T) {
	t.Parallel()
	people, timeout := 5_000, time.Second
	if *long {
		people, timeout = 50_000, 5*time.Second
	}
	in := newInsideOf(t, people, timeout)
	// First each kind of fault once, then faults at random.
	in.fake.Queue(sendgridfake.RateLimit(time.Second), sendgridfake.Fail(503), sendgridfake.TimeoutAfter(nil), sendgridfake.ResetBefore())
	in.fake.Script(sendgridfake.Mix{RateLimit: .3, ServerError: .1, TimeoutBefore: .025, TimeoutAfter: .025, ResetBefore: .025, ResetAfter: .025,
		RetryIn: time.Second, Seed: 5}.Script())
	for _, part := range []string{partRecorder, partFanout, partNotify} {
		in.startInstance(part, nil)
	}
	began := time.Now()
	in.send(in.startInstance(partAPI, nil), uuid.NewString(), false)
	in.settle()
	in.verdict(true)

	o := outcome{audience: in.people.audience, taken: in.fake.Counts()}
	if err := o.load(t.Context(), in.admin, in.message); err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, state := range o.states {
		states[state]++
	}
	rows, err := in.admin.Query(t.Context(), `SELECT coalesce(answer, 'none'), count(*) FROM app.attempts GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]int{}
	for rows.Next() {
		var answer string
		var n int
		if err := rows.Scan(&answer, &n); err != nil {
			t.Fatal(err)
		}
		answers[answer] = n
	}
	accepted, addresses := o.acceptedUnknown()
	t.Logf("after %s: alerts %v; requests by answer %v; SendGrid accepted %d of the unknown alerts, for %d addresses",
		time.Since(began).Round(time.Second), states, answers, accepted, addresses)
	if states["pending"] > 0 || states["unknown"] == 0 || states["accepted"] == 0 {
		t.Errorf("the states of the alerts are %v", states)
	}
}

// acceptedUnknown counts the alerts that are unknown on the record and were accepted by
// SendGrid, and the addresses that got such alerts.
func (o *outcome) acceptedUnknown() (alerts, addresses int) {
	recorded := map[string]int{}
	for id, address := range o.audience {
		if o.states[id] == "accepted" {
			recorded[address]++
		}
	}
	for address, n := range o.taken {
		if extra := n - recorded[address]; extra > 0 {
			alerts += extra
			addresses++
		}
	}
	return alerts, addresses
}
