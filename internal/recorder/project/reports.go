package project

import (
	"cmp"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// SendGrid reports late, in any order and more than once. So the projection of reports is
// a join: of all reports about one alert the greatest counts, and each is compared with the
// greatest so far. No report adds to a count, and a repeated report changes nothing. See
// docs/adr/0022.

// reportRow is a row of reports.
type reportRow struct {
	failed bool
	reason string
	at     time.Time
	id     string

	stored, dirty, gone bool
}

// alertKey is one attempt at one alert of a chunk.
type alertKey struct {
	no      int32
	attempt int
}

// outweighs says whether r counts instead of s: a failure before every other report, and
// then the later one by SendGrid's clock. A mail may bounce after SendGrid delivered it; it
// is never delivered after it bounced.
func (r *reportRow) outweighs(s *reportRow) bool {
	if r.failed != s.failed {
		return r.failed
	}
	return cmp.Or(r.at.Compare(s.at), cmp.Compare(r.id, s.id)) > 0
}

// reported projects a post of SendGrid's webhook.
func reported(b *batch, p *Prepared) error {
	e := p.reports
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	for _, request := range e.Requests {
		if b.chunk(e.MessageID, request.Chunk) == nil {
			return park("the record has no deliveries.created of chunk %d before it", request.Chunk)
		}
	}
	for _, request := range e.Requests {
		c := b.chunk(e.MessageID, request.Chunk)
		for i := range request.Reports {
			r := &request.Reports[i]
			for _, d := range r.Dead {
				b.dead.add(d, r)
			}
			if counts := b.weigh(c, request.Attempt, r); counts != nil {
				b.apply(m, c, alertKey{r.PortalUserNo, request.Attempt}, counts)
			}
		}
	}
	return b.notice(m, p)
}

// weigh returns the report that counts for an alert from now on, or nil where r changes
// nothing. Nearly all reports change nothing: they repeat that SendGrid has the alert.
func (b *batch) weigh(c *chunkRow, attempt int, r *events.Report) *reportRow {
	key := alertKey{r.PortalUserNo, attempt}
	now := &reportRow{failed: r.Failed(), reason: r.Words(), at: r.At, id: r.ID, dirty: true}
	if known := b.reports[c.key][key]; known != nil {
		if !known.gone && !now.outweighs(known) {
			return nil
		}
		now.stored = known.stored
	}
	was := b.alertNow(c, r.PortalUserNo)
	switch {
	case now.failed, c.open(), attempt > was.attempt:
		b.keep(c.key, key, now)
	case was.state != events.AlertUnknown:
		return nil
	}
	return now
}

// open says whether a later outcome may need the reports of the chunk.
func (c *chunkRow) open() bool {
	return c.state == events.AlertPending || c.state == events.AlertUnknown
}

func (b *batch) chunk(message uuid.UUID, index int) *chunkRow {
	return b.chunks[chunkKey{message, index}]
}

func (b *batch) keep(chunk chunkKey, key alertKey, r *reportRow) {
	if b.reports[chunk] == nil {
		b.reports[chunk] = map[alertKey]*reportRow{}
	}
	b.reports[chunk][key] = r
}

// apply sets an alert to its reported state. It does nothing where the report is about
// another attempt than the alert's current one: an attempt without an outcome gets its
// state from the outcome, and an earlier attempt was followed by another.
func (b *batch) apply(m *messageRow, c *chunkRow, key alertKey, r *reportRow) {
	was := b.alertNow(c, key.no)
	if was.attempt != key.attempt {
		return
	}
	now := &exceptionRow{state: events.AlertAccepted, attempt: key.attempt, dirty: true}
	if r.failed {
		now.state, now.reason, now.at = events.AlertFailed, r.reason, r.at
	} else if was.at != nil {
		now.at = *was.at
	}
	if !state.AlertMoves.Has(was.state, state.Reported, now.state) {
		return
	}
	m.dirty = true
	m.alerts[was.state]--
	m.alerts[now.state]++
	b.except(c.key, key.no, now)
}

// applyEarly applies reports that came before the outcome of their attempt, now that the
// outcome is known. It deletes the reports that the outcome makes redundant.
func (b *batch) applyEarly(m *messageRow, c *chunkRow, attempt int) {
	for key, r := range b.reports[c.key] {
		if r.gone || key.attempt != attempt {
			continue
		}
		b.apply(m, c, key, r)
		if !r.failed && !c.open() {
			r.gone, r.dirty = true, true
		}
	}
}
