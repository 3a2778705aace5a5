package notify

import (
	"cmp"
	"maps"
	"slices"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/notify/sendgrid"
)

// The reasons why an alert was not sent, failed or is unknown. The database has the other
// reasons: see app.why_not_alerted.
const (
	reasonNoAddress = "no e-mail address"
	reasonCancelled = "the message was cancelled"
	reasonNoAnswer  = "SendGrid's answer was never learned"
	reasonPromoted  = "Postgres lost its last commits in a failover, so that it is not known whether SendGrid was asked"
	reasonPutBack   = "Postgres was put back to an earlier state, so that it is not known whether SendGrid was asked"
	reasonLost      = "the database was lost, so that it is not known whether SendGrid was asked"
	reasonRefused   = "SendGrid refused it"
	reasonEarlier   = events.LeftOutAccepted

	// The reasons why a chunk waits.
	reasonLate   = "SendGrid's answer came after it was declared unknown"
	reasonInHand = "another worker waits for SendGrid's answer"
)

// notConcerned is the result of recipients of the chunk who are not in the replay's part.
var notConcerned = result{state: "-"}

// result is the state of one recipient's alert; the zero result: not known yet.
type result struct {
	state  events.AlertState
	reason string
}

// results computes the result of each recipient, first from the claims and then from the
// directory. Every claim must have an answer, which may be unknown. results is a pure
// function, so every worker that takes the chunk computes the same.
func (w *work) results() []result {
	settled := make([]result, len(w.recipients))
	for _, c := range w.claims {
		switch c.answer {
		case answerAccepted:
			w.settleAll(settled, c, result{state: events.AlertAccepted})
		case answerRefused:
			for _, r := range c.refusals {
				if r.Position < len(settled) {
					settled[r.Position] = result{events.AlertFailed, cmp.Or(r.Reason, reasonRefused)}
				}
			}
		}
	}
	// An answer counts before unknown: after a failover a recipient may have two claims, one
	// of which was lost and restored, see restore.
	for _, c := range w.claims {
		if c.answer == answerUnknown {
			w.settleAll(settled, c, result{events.AlertUnknown, c.whyUnknown()})
		}
	}
	for _, c := range w.earlier {
		for _, p := range c.positions {
			if p < len(settled) && settled[p].state == "" && !w.bounced[alertKey{w.recipients[p].no, c.attempt}] {
				settled[p] = result{events.AlertSkipped, reasonEarlier}
			}
		}
	}
	for i, r := range w.recipients {
		if !w.concerns(r.no) {
			settled[i] = notConcerned
		}
		if settled[i].state != "" {
			continue
		}
		// Where no more requests are made, a recipient without an answer is unknown. A part
		// that is wound up has only recipients for whom a request was made.
		switch {
		case w.part != nil && w.part.woundUp:
			settled[i] = result{events.AlertUnknown, reasonNoAnswer}
		case r.notDue != "":
			settled[i] = result{events.AlertSkipped, r.notDue}
		case w.amends:
			settled[i] = result{events.AlertUnknown, reasonNoAnswer}
		}
	}
	return settled
}

// whyUnknown is the reason stored with the claim, or that the answer was never received.
func (c claim) whyUnknown() string {
	if len(c.refusals) > 0 {
		return c.refusals[0].Reason
	}
	return reasonNoAnswer
}

func (w *work) settleAll(settled []result, c claim, f result) {
	for _, p := range c.positions {
		if p < len(settled) && settled[p].state == "" {
			settled[p] = f
		}
	}
}

// nextRequest returns the positions to alert next: all recipients without a result, but
// each address once, because SendGrid accepts an address only once a request. A recipient
// with the same address as another waits for the following request. So does one in another
// language than the first: a request has one text.
//
// If SendGrid refused a request without naming a recipient, halving finds the recipient at
// fault: half of the smallest such request is sent next, so that each recipient is either
// accepted together with others or refused alone. With one fault among n recipients that
// takes about 2·log2(n) requests. If all of these requests are refused, single recipients
// from all over the chunk are tried first, see [work.sample].
func (w *work) nextRequest(settled []result) []int {
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
	next := make([]int, 0, len(w.recipients))
	var taken sendgrid.AddressSet
	for i := range w.recipients {
		if settled[i].state != "" || len(next) == most || among != nil && !among[i] {
			continue
		}
		if len(next) > 0 && w.recipients[i].language != w.recipients[next[0]].language || !taken.Add(w.recipients[i].email) {
			continue
		}
		next = append(next, i)
	}
	return next
}

// suspects returns the smallest request that was refused without naming a recipient and
// that has recipients without a result; nil where there is none.
func (w *work) suspects(settled []result) *claim {
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

// How many recipients SendGrid must refuse, each alone in a request, with the same reason
// and accepting none of the chunk, before the requests are at fault and not the recipients.
const (
	// firstAlone recipients are found by halving. They are neighbours: a clinic's directory
	// may well have a few wrong addresses in a row.
	firstAlone = 4
	// spreadAlone recipients are then taken from all over the chunk.
	spreadAlone = 8
	// leastAlone is enough where the chunk has no other recipients left.
	leastAlone = 8
)

// sample returns one recipient: the n-th of spreadAlone that are spread evenly over the
// recipients without a result. If SendGrid accepts it, the requests are not at fault, and
// halving continues. Each time that the chunk is retried, sample returns other recipients,
// so that a chunk with nearly only faulty recipients does not wait forever.
func (w *work) sample(settled []result, n int) []int {
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

// refusedSingly are requests with one recipient each that were refused with the same
// reason, without naming a recipient.
type refusedSingly struct {
	reason   string
	requests []uuid.UUID
}

// refusedAlone returns the requests that were refused that way, with the most frequent
// reason; none where SendGrid has accepted any request of the chunk.
func (w *work) refusedAlone() (most refusedSingly) {
	by := map[string][]uuid.UUID{}
	for _, c := range w.claims {
		if c.answer == answerAccepted {
			return refusedSingly{}
		}
		for _, r := range c.refusals {
			if r.Alone {
				by[r.Reason] = append(by[r.Reason], c.id)
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		if len(by[reason]) > len(most.requests) {
			most = refusedSingly{reason, by[reason]}
		}
	}
	return most
}

// requestsAtFault returns the refusals that show that SendGrid refuses every request, as
// for a fault of the sender or the letter. It returns none where SendGrid refuses
// recipients, or where it is not known yet which of the two it is.
func (w *work) requestsAtFault() refusedSingly {
	alone := w.refusedAlone()
	n := len(alone.requests)
	switch {
	case w.sound:
	case n >= firstAlone+spreadAlone, n >= leastAlone && w.suspects(w.results()) == nil:
		return alone
	}
	return refusedSingly{}
}

// outcome returns the event's body for a chunk with a result for every recipient: the most
// frequent result, and the others as exceptions. The exceptions have no portal user ids yet,
// see name.
func (w *work) outcome(settled []result) events.AlertOutcome {
	count, concerned := map[result]int{}, 0
	for i := 0; i < len(settled); {
		same := i + 1 // nearly all have the same result: count those in a row at once
		for same < len(settled) && settled[same] == settled[i] {
			same++
		}
		if settled[i] != notConcerned {
			count[settled[i]] += same - i
			concerned += same - i
		}
		i = same
	}
	var main result
	for f, n := range count {
		// A tie is broken by name, so that two workers publish the same event.
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
		// The outcome of a replay's part names all its recipients.
		if f != notConcerned && (f != main || w.part != nil) {
			o.Exceptions = append(o.Exceptions, events.AlertException{
				PortalUserNo: w.recipients[i].no, State: f.state, Reason: f.reason})
		}
	}
	for _, c := range w.claims {
		o.Requests = append(o.Requests, events.AlertRequest{
			RequestID: c.id, SendGridID: c.sendgridID, Recipients: len(c.positions)})
	}
	return o
}

// nos returns the numbers of the recipients.
func (w *work) nos() []int32 {
	nos := make([]int32, len(w.recipients))
	for i := range w.recipients {
		nos[i] = w.recipients[i].no
	}
	return nos
}
