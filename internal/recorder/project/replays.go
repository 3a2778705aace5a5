package project

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// repeated projects the outcome of a replay's attempt. The event names each recipient,
// and each gets a row of its own, whatever the state of the chunk.
func repeated(b *batch, p *Prepared, e events.AlertOutcome) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	c, ok := b.chunks[chunkKey{e.MessageID, e.Chunk}]
	switch {
	case !ok:
		return park("the record has no deliveries.created of chunk %d before it", e.Chunk)
	case c.state == events.AlertPending:
		return park("the record has no outcome of the first attempt at chunk %d before it", e.Chunk)
	case e.Attempt < 2 || e.Recipients != len(e.Exceptions):
		return park("attempt %d of %d recipients names %d", e.Attempt, e.Recipients, len(e.Exceptions))
	}
	for _, x := range e.Exceptions {
		if x.PortalUserNo < c.firstNo || x.PortalUserNo > c.lastNo {
			return park("it names a recipient who is not in chunk %d", e.Chunk)
		}
	}
	if err := b.loadExceptionsOf(c.key); err != nil {
		return err
	}
	change := map[events.AlertState]int{}
	for _, x := range e.Exceptions {
		before := standing{c.state, c.reason, c.attempt, *c.at}
		if known := b.exceptions[c.key][x.PortalUserNo]; known != nil && !known.gone {
			before = standing{known.state, known.reason, known.attempt, known.at}
		}
		switch {
		case e.Attempt > before.attempt:
			change[x.State]++
		case e.Attempt == before.attempt && before.state == events.AlertUnknown && x.State != events.AlertUnknown:
			change[events.AlertUnknown]-- // the answer came late
			change[x.State]++
		}
		b.follow(m, c, x.PortalUserNo, before, standing{x.State, x.Reason, e.Attempt, p.Event.Time})
	}
	b.applyEarly(m, c, e.Attempt)
	if err := b.notice(m, p); err != nil {
		return err
	}
	if err := b.repeatedOf(m, *e.ReplayID); err != nil {
		return err
	}
	return b.exec(`UPDATE replays SET accepted = accepted + $2, failed = failed + $3, skipped = skipped + $4, unknown = unknown + $5
		WHERE replay_id = $1`, e.ReplayID, change[events.AlertAccepted], change[events.AlertFailed],
		change[events.AlertSkipped], change[events.AlertUnknown])
}

func replayPlanned(b *batch, p *Prepared, e events.ReplayPlanned) error {
	var encoded [3][]byte
	for i, v := range []any{e.Filter, e.ByReason, e.Excluded} {
		var err error
		if encoded[i], err = json.Marshal(v); err != nil {
			return fmt.Errorf("encoding a plan: %w", err)
		}
	}
	return b.exec(`INSERT INTO replays (replay_id, seq, filter, reason, count, digest, by_reason, excluded, oldest, newest,
		status, planned_at, planned_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $13, $11, $12)`,
		e.ReplayID, p.Stored.Seq, encoded[0], e.Reason, e.Count, e.Digest, encoded[1], encoded[2], e.Oldest, e.Newest,
		p.Event.Time, p.Event.Actor, state.Planned)
}

// moveReplay sets the status that a replay has after an event, and further columns, whose
// values are $4 and so on. The event comes too late where the replay's status does not
// allow the move.
func (b *batch) moveReplay(id uuid.UUID, p *Prepared, set string, args ...any) error {
	from := state.ReplayMoves.From(p.Event.Type)
	to, _ := from[0].After(p.Event.Type) // an event moves to one status
	return b.execOrLate(`UPDATE replays SET status = $2`+set+` WHERE replay_id = $1 AND status = ANY ($3)`,
		append([]any{id, to, from}, args...)...)
}

func replayStarted(b *batch, p *Prepared, e events.ReplayStarted) error {
	return b.moveReplay(e.ReplayID, p, `, rate = $4, started_at = $5, started_by = $6`, e.Rate, p.Event.Time, p.Event.Actor)
}

func replayPaused(b *batch, p *Prepared, e events.ReplayPaused) error {
	return b.moveReplay(e.ReplayID, p, "")
}

func replayResumed(b *batch, p *Prepared, e events.ReplayResumed) error {
	return b.moveReplay(e.ReplayID, p, "")
}

func replayCancelled(b *batch, p *Prepared, e events.ReplayCancelled) error {
	if err := b.moveReplay(e.ReplayID, p, `, ended_at = $4, ended_by = $5`, p.Event.Time, p.Event.Actor); err != nil {
		return err
	}
	return b.renewNotices(p, e.ReplayID)
}

// A replay that is paused when its last part ends is complete all the same.
func replayCompleted(b *batch, p *Prepared, e events.ReplayCompleted) error {
	if err := b.moveReplay(e.ReplayID, p, `, ended_at = $4, ended_by = $5, left_out = $6`, p.Event.Time, p.Event.Actor, e.LeftOut); err != nil {
		return err
	}
	return b.renewNotices(p, e.ReplayID)
}
