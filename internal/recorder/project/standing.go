package project

import (
	"time"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// standing is the recorded state of one recipient's alert.
type standing struct {
	state   events.AlertState
	reason  string
	attempt int
	at      time.Time
}

// then returns the state after an outcome that is recorded later, of any attempt. An
// accepted alert stays accepted. Otherwise the latest attempt counts, and within one
// attempt an answer counts before unknown. So the result does not depend on the order in
// which the outcomes of two attempts come.
func (s standing) then(o standing) standing {
	after := s
	if state.AlertMoves.Has(s.state, s.cause(o), o.state) {
		after = o
	}
	after.attempt = max(s.attempt, o.attempt)
	return after
}

// cause returns the cause by which o would move the alert.
func (s standing) cause(o standing) state.AlertCause {
	switch {
	case o.state == events.AlertAccepted:
		return state.AnyAccepted
	case o.attempt > s.attempt:
		return state.LaterAttempt
	case o.attempt == s.attempt:
		return state.LateAnswer
	}
	return "" // a failure of an earlier attempt changes nothing
}

// row returns the row of an exception: an alert whose state differs from its chunk's.
func (s standing) row() *exceptionRow {
	return &exceptionRow{state: s.state, reason: s.reason, attempt: s.attempt, at: s.at, dirty: true}
}

// follow applies an outcome to one alert and updates the counts.
func (b *batch) follow(m *messageRow, c *chunkRow, no int32, before, o standing) {
	after := before.then(o)
	if after == before {
		return
	}
	m.alerts[before.state]--
	m.alerts[after.state]++
	b.except(c.key, no, after.row())
}
