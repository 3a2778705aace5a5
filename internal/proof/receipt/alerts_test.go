package receipt_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/proof/receipt"
)

var people = []string{"pu-1", "pu-2", "pu-3"}

// history is what may happen to the alerts of one chunk of three: a first attempt,
// whose answer may come later, replays of some of them, and SendGrid's reports on
// whichever attempt, in any order.
func history(t *rapid.T, message uuid.UUID) (all []events.Body) {
	replay := uuid.New()
	all = append(all, events.ReplayPlanned{ReplayID: replay, Filter: events.ReplayFilter{State: []events.AlertState{events.AlertFailed}}, Reason: "r", Count: 9,
		Digest: "sha256:" + strings.Repeat("0", 64), ByReason: map[string]int{}, Excluded: map[string]int{}}, events.ReplayStarted{ReplayID: replay})
	came := []events.AlertState{events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown}
	first := rapid.SampledFrom(came).Draw(t, "first")
	all = append(all, outcome(t, message, first, people, nil, 1))
	var later []events.Body
	if first == events.AlertUnknown {
		answer := rapid.SampledFrom([]events.AlertState{events.AlertAccepted, events.AlertFailed}).Draw(t, "answer")
		later = append(later, outcome(t, message, answer, people, nil, 1))
	}
	for attempt := 2; attempt <= 3; attempt++ {
		var some []string
		for _, id := range people {
			if rapid.Bool().Draw(t, "repeated") {
				some = append(some, id)
			}
		}
		if len(some) > 0 {
			later = append(later, outcome(t, message, rapid.SampledFrom(came).Draw(t, "fate"), some, &replay, attempt))
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "reports") {
		later = append(later, report(t, message))
	}
	return append(all, rapid.Permutation(later).Draw(t, "order")...)
}

func outcome(t *rapid.T, message uuid.UUID, state events.AlertState, of []string, replay *uuid.UUID, attempt int) events.AlertOutcome {
	o := events.AlertOutcome{MessageID: message, Chunks: 1, Attempt: attempt, Recipients: len(of), State: state,
		Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}, ReplayID: replay}
	if replay != nil {
		o.Part = int64(attempt)
	}
	for _, id := range of {
		x := events.AlertException{PortalUserID: id, PortalUserNo: number(id), State: state}
		if rapid.Bool().Draw(t, "otherwise") {
			x.State, x.Reason = events.AlertFailed, "no such mailbox"
		}
		if x.State != state || replay != nil {
			o.Exceptions = append(o.Exceptions, x)
		}
	}
	return o
}

func number(id string) int32 {
	n, _ := strconv.Atoi(strings.TrimPrefix(id, "pu-"))
	return int32(n) // #nosec G109,G115 -- one of three
}

func report(t *rapid.T, message uuid.UUID) events.AlertsReported {
	id := rapid.SampledFrom(people).Draw(t, "of")
	r := events.Report{ID: uuid.NewString(), At: time.Date(2026, 3, 1, 12, 0, rapid.IntRange(0, 59).Draw(t, "at"), 0, time.UTC),
		Type:     rapid.SampledFrom([]string{"processed", "delivered", "bounce", "dropped"}).Draw(t, "type"),
		Position: int(number(id)) - 1, PortalUserID: id, PortalUserNo: number(id)}
	return events.AlertsReported{MessageID: message, Requests: []events.ReportedRequest{{RequestID: uuid.New(),
		Attempt: rapid.IntRange(1, 3).Draw(t, "attempt"), Reports: []events.Report{r}}}}
}

// stand is how an alert stands: what tracking says, and what a reader of a receipt
// makes of its lines.
type stand struct {
	State    string
	Attempts int
	At       time.Time
}

var (
	attemptLine = regexp.MustCompile(`^The alert by e-mail, attempt (\d+): (\w+)`)
	reportLine  = regexp.MustCompile(`^SendGrid reports of attempt (\d+), at (\S+): (\w+)`)
)

// read folds the lines of a receipt by the rules of docs/states.md: the latest attempt
// counts, but what is accepted stays so; an attempt without an answer is settled by one
// that comes later; a report that an alert came back counts for its attempt.
func read(t *testing.T, lines []receipt.Line) (s stand) {
	t.Helper()
	type weight struct {
		failed bool
		at     time.Time
	}
	reported := map[int]weight{}
	settle := func() {
		w, ok := reported[s.Attempts]
		switch {
		case ok && w.failed && s.State != "skipped":
			s.State, s.At = "failed", w.at
		case ok && !w.failed && s.State == "unknown":
			s.State = "accepted"
		}
	}
	for _, line := range lines {
		if m := attemptLine.FindStringSubmatch(line.Text); m != nil {
			attempt, _ := strconv.Atoi(m[1])
			now := stand{m[2], attempt, line.Time}
			switch {
			case s.Attempts == 0, attempt == 1 && s.Attempts == 1:
				s = now
			case s.State != "accepted" && (m[2] == "accepted" || attempt > s.Attempts || attempt == s.Attempts && s.State == "unknown"):
				s = stand{m[2], max(attempt, s.Attempts), line.Time}
			}
			s.Attempts = max(s.Attempts, attempt)
			if attempt == s.Attempts {
				settle()
			}
		}
		if m := reportLine.FindStringSubmatch(line.Text); m != nil {
			attempt, _ := strconv.Atoi(m[1])
			at, err := time.Parse(time.RFC3339, m[2])
			if err != nil {
				t.Fatal(err)
			}
			now := weight{m[3] == "bounce" || m[3] == "dropped", at}
			if was, ok := reported[attempt]; !ok || now.failed && !was.failed || now.failed == was.failed && !now.at.Before(was.at) {
				reported[attempt] = now
				if attempt == s.Attempts {
					settle()
				}
			}
		}
	}
	return s
}

// Whatever happens to the alerts of a message: what a receipt tells of one of them,
// line by line, comes to what the system's own pages say, and each line is of that
// portal user's alert alone.
func TestReceiptsTellTheWholeStoryOfAnAlert(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	sender := i.Staff(t, "Eve Sender", policy.SendPortalMessage)
	for seed := range 12 {
		sent, err := i.Compose.Send(t.Context(), sender, fmt.Sprint("key", seed), compose.Request{Subject: "s", Body: "b",
			Recipients: audience.Selection{PortalUserIDs: people}})
		if err != nil {
			t.Fatal(err)
		}
		i.Deliver(t, sent.ID)
		story := rapid.Custom(func(t *rapid.T) []events.Body { return history(t, sent.ID) }).Example(seed)
		i.Record(t, "process:test", story...)

		deliveries, err := messages.New(i.Pool).Deliveries(t.Context(), sent.ID, messages.Filter{}, 0, 10)
		if err != nil || len(deliveries) != len(people) {
			t.Fatal(len(deliveries), err)
		}
		for _, d := range deliveries {
			i.id = sent.ID
			r, _, err := receipt.Verify(i.issue(t, d.PortalUserID), i.keys)
			if err != nil {
				t.Fatal(err)
			}
			want := stand{d.AlertState, d.Attempts, *d.AlertAt}
			if d.AlertState == "skipped" {
				want.Attempts++ // pages count requests, and the attempt that was skipped made none
			}
			if diff := cmp.Diff(want, read(t, r.Statement)); diff != "" {
				t.Errorf("%d, %s (-pages +receipt):\n%s\n%v", seed, d.PortalUserID, diff, r.Statement)
			}
			if got, want := spoken(r.Statement), toldOf(story, d.PortalUserID); got != want {
				t.Errorf("%d, %s: it has %d lines of the alert, and the record %d:\n%v", seed, d.PortalUserID, got, want, r.Statement)
			}
		}
	}
}

// spoken counts the lines about the alert.
func spoken(lines []receipt.Line) (n int) {
	for _, line := range lines {
		if attemptLine.MatchString(line.Text) || reportLine.MatchString(line.Text) {
			n++
		}
	}
	return n
}

// toldOf counts what a story says of one portal user's alert.
func toldOf(story []events.Body, id string) (n int) {
	for _, body := range story {
		switch b := body.(type) {
		case events.AlertOutcome:
			named := b.ReplayID == nil
			for _, x := range b.Exceptions {
				named = named || x.PortalUserID == id
			}
			if named {
				n++
			}
		case events.AlertsReported:
			for _, r := range b.Requests[0].Reports {
				if r.PortalUserID == id {
					n++
				}
			}
		}
	}
	return n
}

// An event about another portal user, or of another chunk, can't be added to a receipt,
// although it is recorded and proved.
func TestNothingForeignRidesAlong(t *testing.T) {
	t.Parallel()
	i := newIssued(t)
	replay := uuid.New()
	i.Record(t, "process:test", events.ReplayPlanned{ReplayID: replay, Filter: events.ReplayFilter{State: []events.AlertState{events.AlertFailed}}, Reason: "r", Count: 1,
		Digest: "sha256:" + strings.Repeat("0", 64), ByReason: map[string]int{}, Excluded: map[string]int{}}, events.ReplayStarted{ReplayID: replay},
		events.AlertOutcome{MessageID: i.id, Chunks: 1, Attempt: 2, Recipients: 1, State: events.AlertAccepted, ReplayID: &replay, Part: 1,
			Exceptions: []events.AlertException{{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertAccepted}}, Requests: []events.AlertRequest{}})
	theirs, err := receipt.Parse(i.issue(t, "pu-2"))
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, line := range theirs.Statement {
		text = append(text, line.Text)
	}
	if all := strings.Join(text, "\n"); !strings.Contains(all, "attempt 1: failed: no such mailbox") || !strings.Contains(all, "attempt 2: accepted (part 1 of replay") {
		t.Errorf("of both attempts it says\n%s", all)
	}
	mine, err := receipt.Parse(i.issue(t, "pu-1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range mine.Events {
		if strings.Contains(e.Data, replay.String()) {
			t.Error("a receipt has a replay of another portal user's alert")
		}
	}
	theirs.PortalUserID = "pu-1" // whose alert was not repeated
	forged, err := theirs.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := receipt.Verify(forged, i.keys); err == nil || !strings.Contains(err.Error(), "another portal user") {
		t.Errorf("of a foreign event it says %v", err)
	}
}
