package notify

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"postern/internal/events"
)

// Why an alert is not due, or can't be. The database has the other reasons: see
// app.why_not_alerted.
const (
	reasonNoAddress = "no e-mail address"
	reasonCancelled = "the message was cancelled"
	reasonNoAnswer  = "SendGrid's answer was never learned"
	reasonPromoted  = "Postgres lost its last commits in a failover, so that it is not known whether SendGrid was asked"
	reasonPutBack   = "Postgres was put back to an earlier state, so that it is not known whether SendGrid was asked"
	reasonLost      = "the database was lost, so that it is not known whether SendGrid was asked"
	reasonRefused   = "SendGrid refused it"
	reasonEarlier   = events.LeftOutAccepted

	// Why a chunk waits.
	reasonLate   = "SendGrid's answer came after it was declared unknown"
	reasonInHand = "another worker waits for SendGrid's answer"
)

// notConcerned is the fate of who is in the chunk and not in the part of a replay.
var notConcerned = fate{state: "-"}

// fate is what is settled of one recipient; the zero fate is: nothing yet.
type fate struct {
	state  events.AlertState
	reason string
}

// fates works out, from the claims alone and then from the directory, what has
// become of each recipient. Every claim has its answer by then, if only unknown.
// It is a pure function, so every worker that comes to the chunk sees the same.
func (w *work) fates() []fate {
	settled := make([]fate, len(w.recipients))
	for _, c := range w.claims {
		switch c.answer {
		case answerAccepted:
			w.settleAll(settled, c, fate{state: events.AlertAccepted})
		case answerRefused:
			for _, r := range c.refusals {
				if r.Position < len(settled) {
					settled[r.Position] = fate{events.AlertFailed, cmp.Or(r.Reason, reasonRefused)}
				}
			}
		}
	}
	// An answer counts before none: after a failover there may be two claims of one
	// recipient, of which one was lost and came back, see restore.
	for _, c := range w.claims {
		if c.answer == answerUnknown {
			w.settleAll(settled, c, fate{events.AlertUnknown, c.whyUnknown()})
		}
	}
	for _, c := range w.earlier {
		for _, p := range c.positions {
			if p < len(settled) && settled[p].state == "" && !w.cameBack[alertKey{w.recipients[p].no, c.attempt}] {
				settled[p] = fate{events.AlertSkipped, reasonEarlier}
			}
		}
	}
	for i, r := range w.recipients {
		if w.part != nil && !w.part.concerns(r.no) {
			settled[i] = notConcerned
		}
		if settled[i].state != "" {
			continue
		}
		// Where no request is made any more, a recipient without an answer is unknown. All of a
		// part that is wound up were called.
		switch {
		case w.part != nil && w.part.woundUp:
			settled[i] = fate{events.AlertUnknown, reasonNoAnswer}
		case r.notDue != "":
			settled[i] = fate{events.AlertSkipped, r.notDue}
		case w.amends:
			settled[i] = fate{events.AlertUnknown, reasonNoAnswer}
		}
	}
	return settled
}

// whyUnknown is the reason that a claim was written with, where it was.
func (c claim) whyUnknown() string {
	if len(c.refusals) > 0 {
		return c.refusals[0].Reason
	}
	return reasonNoAnswer
}

func (w *work) settleAll(settled []fate, c claim, f fate) {
	for _, p := range c.positions {
		if p < len(settled) && settled[p].state == "" {
			settled[p] = f
		}
	}
}

// nextRequest picks whom to alert next: all that nothing is settled of, but each
// address once, since SendGrid takes an address once a request. Who shares an
// address waits for the request after.
//
// Where SendGrid refused a request and named no recipient, the culprit is found by
// halving: half of the smallest such request goes next, so that one recipient after
// the other is either accepted in company or refused alone. Of n recipients of whom
// one is at fault that takes about 2·log2(n) requests. Where only refusals come of that,
// single recipients from all over the chunk are tried first, see [work.sample].
func (w *work) nextRequest(settled []fate) []int {
	most := events.ChunkSize
	var among map[int]bool // nil: all recipients
	if c := w.suspects(settled); c != nil {
		if n := len(w.refusedAlone().requests); n >= firstAlone && !w.sound {
			return w.sample(settled, n-firstAlone)
		}
		most = (len(c.positions) + 1) / 2
		among = make(map[int]bool, len(c.positions))
		for _, p := range c.positions {
			among[p] = true
		}
	}
	var next []int
	taken := make(map[string]bool, len(w.recipients))
	for i, r := range w.recipients {
		address := strings.ToLower(r.email)
		if settled[i].state != "" || taken[address] || len(next) == most || among != nil && !among[i] {
			continue
		}
		taken[address] = true
		next = append(next, i)
	}
	return next
}

// suspects gives the smallest request that was refused without naming a recipient and
// holds some of whom nothing is settled; nil where there is none.
func (w *work) suspects(settled []fate) *claim {
	var smallest *claim
	for i := range w.claims {
		c := &w.claims[i]
		if c.answer != answerRefused || len(c.refusals) > 0 || smallest != nil && len(c.positions) >= len(smallest.positions) {
			continue
		}
		if slices.ContainsFunc(c.positions, func(p int) bool { return p < len(settled) && settled[p].state == "" }) {
			smallest = c
		}
	}
	return smallest
}

// How many recipients SendGrid must refuse, each alone in a request, in the same words
// and accepting none of the chunk, before the fault is the requests' and no recipient's.
const (
	// firstAlone are found by halving, and so are neighbours: a clinic's directory may
	// well hold a few wrong addresses in a row.
	firstAlone = 4
	// spreadAlone are taken from all over the chunk after those.
	spreadAlone = 8
	// leastAlone is enough where the chunk has no other recipients left.
	leastAlone = 8
)

// sample gives one recipient, the n-th of spreadAlone that lie evenly over those of
// whom nothing is settled. If it is accepted, the requests are not at fault, and halving
// goes on. Each time that the chunk is tried again it gives other recipients, so that a
// chunk of which nearly all are at fault does not wait for ever.
func (w *work) sample(settled []fate, n int) []int {
	var open []int
	for i := range settled {
		if settled[i].state == "" {
			open = append(open, i)
		}
	}
	again := 0
	for _, c := range w.claims {
		if c.answer == answerAgain {
			again++
		}
	}
	return []int{open[((2*n+1)*len(open)/(2*spreadAlone)+again)%len(open)]}
}

// lonely are requests that held one recipient each and were refused in the same words,
// without a name.
type lonely struct {
	reason   string
	requests []uuid.UUID
}

// refusedAlone gives the requests that were refused so, in the words that were said most
// often; none where SendGrid has accepted any of the chunk.
func (w *work) refusedAlone() (most lonely) {
	by := map[string][]uuid.UUID{}
	for _, c := range w.claims {
		if c.answer == answerAccepted {
			return lonely{}
		}
		for _, r := range c.refusals {
			if r.Alone {
				by[r.Reason] = append(by[r.Reason], c.id)
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		if len(by[reason]) > len(most.requests) {
			most = lonely{reason, by[reason]}
		}
	}
	return most
}

// requestsAtFault gives the refusals from which it follows that SendGrid refuses whatever
// request it gets, as for a fault of the sender or the letter. It gives none where
// SendGrid refuses recipients, or where it is not known yet which of the two is so.
func (w *work) requestsAtFault() lonely {
	alone := w.refusedAlone()
	n := len(alone.requests)
	switch {
	case w.sound:
	case n >= firstAlone+spreadAlone, n >= leastAlone && w.suspects(w.fates()) == nil:
		return alone
	}
	return lonely{}
}

// outcome is the event's body for a chunk whose every recipient is settled: the
// state of the most, and the others as exceptions.
func (w *work) outcome(settled []fate) events.AlertOutcome {
	count, concerned := map[fate]int{}, 0
	for _, f := range settled {
		if f != notConcerned {
			count[f]++
			concerned++
		}
	}
	var main fate
	for f, n := range count {
		// A tie is broken by name, so that two workers say the same.
		if n > count[main] || n == count[main] && (f.state < main.state || f.state == main.state && f.reason < main.reason) {
			main = f
		}
	}
	o := events.AlertOutcome{
		MessageID: w.message, Chunk: w.chunk, Chunks: w.chunks, Attempt: w.attempt(),
		Recipients: concerned, State: main.state, Reason: main.reason,
		Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{},
	}
	if w.part != nil {
		o.ReplayID, o.Part = &w.part.replay, w.part.nr
	}
	for i, f := range settled {
		// A part of a replay names everybody whom it concerns.
		if f != notConcerned && (f != main || w.part != nil) {
			o.Exceptions = append(o.Exceptions, events.AlertException{
				PortalUserID: w.recipients[i].id, PortalUserNo: w.recipients[i].no, State: f.state, Reason: f.reason})
		}
	}
	for _, c := range w.claims {
		o.Requests = append(o.Requests, events.AlertRequest{
			RequestID: c.id, SendGridID: c.sendgridID, Recipients: len(c.positions)})
	}
	return o
}
