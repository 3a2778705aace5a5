package project

import (
	"postern/internal/events"
	"postern/internal/recorder/state"
)

// outcome projects the outcome of a first attempt at a chunk's alerts. A thousand
// recipients of one state are one row; only the exceptions have rows of their own.
//
// The first outcome of a chunk counts. Only one event may change it: the answer to an
// attempt that was declared unknown, when it arrives late. If the whole chunk is unknown,
// the answer replaces the state of all recipients except those whose alert a replay has
// repeated since. If single recipients are unknown, it replaces theirs. See [standing.then]
// and docs/states.md.
func outcome(b *batch, p *Prepared, e events.AlertOutcome) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	c, ok := b.chunks[chunkKey{e.MessageID, e.Chunk}]
	var repeated map[int32]standing
	switch {
	case !ok:
		return park("the record has no deliveries.created of chunk %d before it", e.Chunk)
	case e.Recipients != c.deliveries || len(e.Exceptions) > c.deliveries:
		return park("it names %d recipients, but the chunk has %d", e.Recipients, c.deliveries)
	case state.AlertMoves.Has(c.state, state.FirstOutcome, e.State):
	case e.Attempt == c.attempt && state.AlertMoves.Has(c.state, state.LateAnswer, e.State):
		if repeated, err = b.takeBack(m, c); err != nil {
			return err
		}
	case e.Attempt == c.attempt:
		return b.learn(m, c, p, e)
	default:
		return tooLate
	}
	c.dirty = true
	c.state, c.reason, c.attempt, c.at = e.State, e.Reason, e.Attempt, &p.Event.Time
	most := c.deliveries - len(e.Exceptions)
	for _, x := range e.Exceptions {
		now := standing{x.State, x.Reason, e.Attempt, p.Event.Time}
		if before, ok := repeated[x.PortalUserNo]; ok {
			delete(repeated, x.PortalUserNo)
			b.follow(m, c, x.PortalUserNo, before, now)
			continue
		}
		m.alerts[x.State]++
		b.except(c.key, x.PortalUserNo, now.row())
	}
	for no, before := range repeated {
		most--
		b.follow(m, c, no, before, standing{e.State, e.Reason, e.Attempt, p.Event.Time})
	}
	m.alerts[e.State] += most
	b.applyEarly(m, c, e.Attempt)
	return b.notice(m, p)
}

// learn applies a later outcome of the same attempt to single recipients whose alert is
// unknown.
func (b *batch) learn(m *messageRow, c *chunkRow, p *Prepared, e events.AlertOutcome) error {
	if err := b.loadExceptionsOf(c.key); err != nil {
		return err
	}
	now := map[int32]standing{}
	if c.state != events.AlertUnknown {
		for no := range b.exceptions[c.key] {
			now[no] = standing{e.State, e.Reason, e.Attempt, p.Event.Time}
		}
	}
	for _, x := range e.Exceptions {
		now[x.PortalUserNo] = standing{x.State, x.Reason, e.Attempt, p.Event.Time}
	}
	learned := false
	for no, o := range now {
		before := standing{c.state, c.reason, c.attempt, *c.at}
		if x := b.exceptions[c.key][no]; x != nil && !x.gone {
			before = standing{x.state, x.reason, x.attempt, x.at}
		}
		report := b.reports[c.key][alertKey{no, e.Attempt}]
		switch {
		case o.state == events.AlertUnknown || before.state == events.AlertAccepted:
		case before.state == events.AlertUnknown && before.attempt == e.Attempt,
			// A replay has repeated the alert since. If the earlier attempt was accepted and
			// then bounced, the acceptance changes nothing.
			before.attempt > e.Attempt && o.state == events.AlertAccepted && (report == nil || report.gone || !report.failed):
			b.follow(m, c, no, before, o)
			learned = true
		}
	}
	if !learned {
		return tooLate
	}
	b.applyEarly(m, c, e.Attempt)
	return b.notice(m, p)
}

// takeBack undoes the first attempt's outcome before another outcome replaces it. It
// returns the alerts that replays have repeated since; those keep their rows.
func (b *batch) takeBack(m *messageRow, c *chunkRow) (repeated map[int32]standing, err error) {
	if err := b.loadExceptionsOf(c.key); err != nil {
		return nil, err
	}
	repeated = map[int32]standing{}
	rest := c.deliveries
	for no, x := range b.exceptions[c.key] {
		switch {
		case x.gone:
			continue
		case x.attempt == c.attempt:
			x.gone, x.dirty = true, true
			m.alerts[x.state]--
		default:
			repeated[no] = standing{x.state, x.reason, x.attempt, x.at}
		}
		rest--
	}
	m.alerts[c.state] -= rest
	return repeated, nil
}
