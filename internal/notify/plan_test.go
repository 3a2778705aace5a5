package notify

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/events"
)

func TestPositionsSurviveTheirBitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfDistinct(rapid.IntRange(0, events.ChunkSize-1), rapid.ID[int]).Draw(t, "positions")
		slices.Sort(want)
		if got := positions(bitmap(want)); !slices.Equal(got, want) {
			t.Errorf("%v came back as %v", want, got)
		}
	})
}

// A family that shares an address gets an alert for each portal user, each in a request of
// its own, and all other recipients are in the first request.
func TestASharedAddressIsSpreadOverRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "recipients")
		w := &work{}
		for i := range n {
			email := fmt.Sprintf("A%d@example.test", rapid.IntRange(0, 20).Draw(t, "address"))
			if rapid.Bool().Draw(t, "lower") {
				email = "a" + email[1:]
			}
			w.recipients = append(w.recipients, recipient{no: int32(i + 1), email: email})
		}
		seen := map[int]int{}
		for round := 0; ; round++ {
			to := w.nextRequest(w.results())
			if len(to) == 0 {
				break
			}
			if round > n {
				t.Fatal("it never ends")
			}
			addresses := map[string]bool{}
			for _, p := range to {
				seen[p]++
				a := "a" + w.recipients[p].email[1:]
				if addresses[a] {
					t.Fatalf("request %d has %s twice", round, a)
				}
				addresses[a] = true
			}
			w.claims = append(w.claims, claim{request: round, positions: to, answer: answerAccepted})
		}
		for i := range n {
			if seen[i] != 1 {
				t.Errorf("recipient %d is in %d requests", i, seen[i])
			}
		}
	})
}

func TestWhoIsNotAlertedAndWhy(t *testing.T) {
	const inactive, recalled = "the account is inactive", "the message was recalled"
	four := []recipient{
		{no: 1, email: "a@x.test"},
		{no: 2, email: "", notDue: reasonNoAddress},
		{no: 3, email: "c@x.test", notDue: inactive},
		{no: 4, email: "d@x.test"},
		{no: 5, email: "e@x.test"},
		{no: 6, email: "f@x.test", notDue: "the e-mail address does not work: SendGrid reported 550 no such mailbox"},
	}
	dead := events.AlertException{PortalUserNo: 6, State: events.AlertSkipped,
		Reason: "the e-mail address does not work: SendGrid reported 550 no such mailbox"}
	request := uuid.New()
	for _, c := range []struct {
		name       string
		recipients []recipient
		claims     []claim
		want       events.AlertOutcome
	}{
		{"refused, no address, inactive", four,
			[]claim{
				{request: 0, positions: []int{0, 3, 4}, answer: answerRefused, refusals: []refusal{{Position: 3, Reason: "no such domain"}}, id: request},
				{request: 1, positions: []int{0, 4}, answer: answerAccepted, sendgridID: "sg1", id: request},
			},
			events.AlertOutcome{State: events.AlertAccepted,
				Exceptions: []events.AlertException{
					{PortalUserNo: 2, State: events.AlertSkipped, Reason: reasonNoAddress},
					{PortalUserNo: 3, State: events.AlertSkipped, Reason: inactive},
					{PortalUserNo: 4, State: events.AlertFailed, Reason: "no such domain"}, dead},
				Requests: []events.AlertRequest{{RequestID: request, Recipients: 3}, {RequestID: request, SendGridID: "sg1", Recipients: 2}}}},
		{"the answer never came", four,
			[]claim{{request: 0, positions: []int{0, 3, 4}, answer: answerUnknown, id: request}},
			events.AlertOutcome{State: events.AlertUnknown, Reason: reasonNoAnswer,
				Exceptions: []events.AlertException{
					{PortalUserNo: 2, State: events.AlertSkipped, Reason: reasonNoAddress},
					{PortalUserNo: 3, State: events.AlertSkipped, Reason: inactive}, dead},
				Requests: []events.AlertRequest{{RequestID: request, Recipients: 3}}}},
		{"recalled before any alert", []recipient{{no: 1, email: "a@x.test", notDue: recalled}, {no: 2, notDue: recalled}}, nil,
			events.AlertOutcome{State: events.AlertSkipped, Reason: recalled,
				Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &work{recipients: c.recipients, claims: c.claims}
			settled := w.results()
			if left := w.nextRequest(settled); len(left) > 0 {
				t.Fatalf("%v are still to be alerted", left)
			}
			c.want.Attempt, c.want.Recipients = firstAttempt, len(c.recipients)
			if diff := cmp.Diff(c.want, w.outcome(settled)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
