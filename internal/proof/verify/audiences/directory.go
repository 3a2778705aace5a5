package audiences

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
)

// checkRest checks the blocks of the directory that no delivery of a complete message cites.
func (v *Check) checkRest(ctx context.Context, m *Sent) error {
	defer func() { m.cited = nil }()
	switch {
	case m.named, m.directory == "" && len(m.cited) == 0: // nothing to evaluate
		return nil
	case m.directory == "":
		v.inPart++
	default:
		if err := v.uncited(ctx, m); err != nil {
			return err
		}
	}
	if len(m.unplaced) > 0 {
		v.complete = append(v.complete, m)
	}
	return nil
}

// uncited compares the deliveries of a message with the state of the directory that its audience
// cites, and evaluates the other blocks of that state.
func (v *Check) uncited(ctx context.Context, m *Sent) error {
	day, err := time.Parse(time.DateOnly, m.day)
	if err != nil {
		v.Fault(m.resolved, fmt.Sprintf("the day of the audience of message %s can't be read: %v", m.id, err))
		return nil
	}
	groups, err := rule.SetOf(m.groups)
	if err != nil || groups == 0 {
		v.Fault(m.resolved, fmt.Sprintf("the audience of message %s cites the directory, and the message was sent to the groups %v", m.id, m.groups))
		return nil
	}
	state, err := v.state(ctx, m)
	if err != nil || state == nil {
		return err
	}
	cited := make([]bool, len(state))
	for _, b := range m.cited {
		switch at, found := state.Find(b.Block); {
		case !found:
			v.Fault(b.seq, fmt.Sprintf("the deliveries of message %s cite block %d, which its audience's state of the directory, %s, does not have", m.id, b.Block, m.directory))
		case state[at].Root != b.Root:
			v.Fault(b.seq, fmt.Sprintf("the deliveries of message %s cite for block %d the roster %s, and its audience's state of the directory, %s, has %s", m.id, b.Block, b.Root, m.directory, state[at].Root))
			cited[at] = true
		default:
			cited[at] = true
		}
	}
	for at, b := range state {
		c := citation{evaluation{b.Root, field.Day(day), groups}, m.resolved, m, false, b.Block, block.Members{}}
		if whole, known := v.seen[b.Root]; cited[at] || known && !whole || v.holds(&c) {
			continue
		}
		v.waiting = append(v.waiting, c)
		if len(v.waiting) < citedAtOnce {
			continue
		}
		if err := v.Evaluate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// state returns the state of the directory that the audience of a message cites, or nil after it
// has reported what is wrong with it.
func (v *Check) state(ctx context.Context, m *Sent) (roster.State, error) {
	if state, ok := v.states[m.directory]; ok || v.noState[m.directory] {
		return state, nil
	}
	digest, err := roster.ParseName(m.directory)
	if err != nil {
		v.Fault(m.resolved, fmt.Sprintf("the audience of message %s cites the directory: %v", m.id, err))
		return nil, nil
	}
	state, err := cited.State(ctx, v.Pool, digest)
	switch {
	case errors.Is(err, cited.ErrNoState):
		v.noState[m.directory] = true
		v.Missing(m.resolved, fmt.Sprintf("state %s of the directory, on which the audience of message %s was evaluated, is missing or was changed", m.directory, m.id))
		return nil, nil
	case errors.Is(err, roster.ErrForm):
		v.Fault(m.resolved, fmt.Sprintf("the audience of message %s: %v", m.id, err))
		return nil, nil
	case err != nil:
		return nil, err
	}
	if len(v.states) >= mostStates {
		clear(v.states)
	}
	v.states[m.directory] = state
	return state, nil
}
