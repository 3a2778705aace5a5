package recorder

import (
	"time"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// standing is what the record says of one recipient's alert.
type standing struct {
	state   events.AlertState
	reason  string
	attempt int
	at      time.Time
}

// then gives what stands after an outcome that comes later on the record, of
// whichever attempt. An accepted alert stays accepted; of the others the latest
// attempt counts, and of one attempt an answer before none. So it makes no
// difference in which order the outcomes of two attempts come.
func (s standing) then(o standing) standing {
	after := s
	if state.AlertMoves.Has(s.state, s.cause(o), o.state) {
		after = o
	}
	after.attempt = max(s.attempt, o.attempt)
	return after
}

// cause says by what o would move the alert.
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

// row is a standing that is other than the chunk's.
func (s standing) row() *exceptionRow {
	return &exceptionRow{state: s.state, reason: s.reason, attempt: s.attempt, at: s.at, dirty: true}
}

// follow brings one alert to what stands after an outcome, and counts it anew.
func (b *batch) follow(m *messageRow, c *chunkRow, no int32, before, o standing) {
	after := before.then(o)
	if after == before {
		return
	}
	m.alerts[before.state]--
	m.alerts[after.state]++
	b.except(c.key, no, after.row())
}
