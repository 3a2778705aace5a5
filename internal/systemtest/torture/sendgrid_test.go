package torture

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/notify/sendgridfake"
)

// SendGrid on its worst day: of all requests 30 % are answered 429 and 10 % with
// a 5xx, 5 % time out and of 5 % the connection is reset after the body, half of
// both with the alerts taken. Each alert comes to an end, and none is accepted
// twice: that an unknown one was accepted or not is what nobody can know.
func TestSendGridOnItsWorstDay(t *testing.T) {
	t.Parallel()
	people, timeout := 5_000, time.Second
	if *long {
		people, timeout = 50_000, 5*time.Second
	}
	in := newInsideOf(t, people, timeout)
	// Each of them for certain, and then as it comes.
	in.fake.Queue(sendgridfake.RateLimit(time.Second), sendgridfake.Fail(503), sendgridfake.TimeoutAfter(nil), sendgridfake.ResetBefore())
	in.fake.Script(sendgridfake.Mix{RateLimit: .3, ServerError: .1, TimeoutBefore: .025, TimeoutAfter: .025, ResetBefore: .025, ResetAfter: .025,
		RetryIn: time.Second, Seed: 5}.Script())
	for _, part := range []string{partRecorder, partFanout, partNotify} {
		in.live(part, nil)
	}
	began := time.Now()
	in.send(in.live(partAPI, nil), uuid.NewString(), false)
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
	named, twice := o.suspects()
	t.Logf("after %s: alerts %v; requests by answer %v; %d of the unknown were accepted all the same, %d addresses have more than the record is sure of",
		time.Since(began).Round(time.Second), states, answers, named, twice)
	if states["pending"] > 0 || states["unknown"] == 0 || states["accepted"] == 0 {
		t.Errorf("the alerts came to %v", states)
	}
}

// suspects counts the alerts that are named as unknown and were accepted, and the
// addresses that got more than one alert for each that is said to be accepted.
func (o *outcome) suspects() (accepted, more int) {
	sure := map[string]int{}
	for id, address := range o.audience {
		if o.states[id] == "accepted" {
			sure[address]++
		}
	}
	for address, n := range o.taken {
		if extra := n - sure[address]; extra > 0 {
			accepted += extra
			more++
		}
	}
	return accepted, more
}
