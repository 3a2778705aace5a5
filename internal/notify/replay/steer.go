package replay

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/recorder/state"
)

// ErrNotFound says that there is no such replay.
var ErrNotFound = problem.NotFound.New("there is no such replay")

// TooLate says that a replay is not where it would have to be for what was asked.
type TooLate struct{ Status state.Replay }

func (e TooLate) Error() string {
	switch e.Status {
	case Planned:
		return "the replay was not started yet"
	case Completed:
		return "the replay is complete: nothing of it is left to go out"
	case Cancelled:
		return "the replay was cancelled: plan another"
	}
	return "the replay is " + string(e.Status)
}

// Problem is how what was asked is answered.
func (e TooLate) Problem() *problem.Error { return problem.TooLate.Problem(e.Error()) }

// The states of a replay; see docs/states.md.
const (
	Planned   = state.Planned
	Running   = state.Running
	Paused    = state.Paused
	Completed = state.Completed
	Cancelled = state.Stopped
)

// Start has a plan carried out, at a rate of alerts a minute; 0 is as fast as
// SendGrid takes them. One that was started before goes on as it does.
func (b *Replays) Start(ctx context.Context, actor string, id uuid.UUID, rate int) (Replay, error) {
	if rate < 0 || rate > int(limits.ReplayRate) {
		return Replay{}, &Invalid{[]problem.Fault{{Location: "body.rate", Message: fmt.Sprintf("is not a number of alerts a minute from 1 to %s; 0 sets no limit", limits.ReplayRate)}}}
	}
	return b.change(ctx, actor, events.ReplayStarted{ReplayID: id, Rate: rate}, id, Running, Paused, Completed)
}

// Pause keeps what is left of a replay from going out until it is resumed.
func (b *Replays) Pause(ctx context.Context, actor string, id uuid.UUID) (Replay, error) {
	return b.change(ctx, actor, events.ReplayPaused{ReplayID: id, Change: uuid.New()}, id, Paused)
}

// Resume ends a pause.
func (b *Replays) Resume(ctx context.Context, actor string, id uuid.UUID) (Replay, error) {
	return b.change(ctx, actor, events.ReplayResumed{ReplayID: id, Change: uuid.New()}, id, Running)
}

// Cancel ends a replay, started or not. What has gone out stays so.
func (b *Replays) Cancel(ctx context.Context, actor string, id uuid.UUID) (Replay, error) {
	return b.change(ctx, actor, events.ReplayCancelled{ReplayID: id}, id, Cancelled)
}

// change publishes what moves a replay, and nothing where it already has one of the
// statuses that were asked for. Where two change one at once, the order of the record
// decides.
func (b *Replays) change(ctx context.Context, actor string, body events.Body, id uuid.UUID, already ...state.Replay) (Replay, error) {
	r, err := b.Get(ctx, id)
	switch {
	case err != nil:
		return Replay{}, err
	case slices.Contains(already, r.Status):
		return r, nil
	}
	if _, moves := r.Status.After(body.EventType()); !moves {
		return Replay{}, TooLate{r.Status}
	}
	if err := b.say(ctx, actor, body); err != nil {
		return Replay{}, err
	}
	return b.Get(ctx, id)
}

func (b *Replays) say(ctx context.Context, actor string, body events.Body) error {
	kind := body.EventType()
	seq, err := b.Facts.Publish(ctx, actor, b.Facts.Now(), body)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", kind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, facts.ReadTimeout)
	defer cancel()
	if err := b.Facts.Wait(ctx, seq); err != nil {
		return fmt.Errorf("%s is recorded, and can't be read yet: %w", kind, err)
	}
	return nil
}
