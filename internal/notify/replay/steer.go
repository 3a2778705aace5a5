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

// ErrNotFound says that there is no replay with this ID.
var ErrNotFound = problem.NotFound.New("there is no replay with this ID")

// WrongStatus says that the status of a replay does not allow the action.
type WrongStatus struct{ Status state.Replay }

func (e WrongStatus) Error() string {
	switch e.Status {
	case Planned:
		return "the replay has not been started yet"
	case Completed:
		return "the replay is complete: it has no alerts left to send"
	case Cancelled:
		return "the replay was cancelled: plan a new one"
	case Paused:
		return "the replay is paused"
	}
	return "the replay is running"
}

// Problem is the API's answer to the action.
func (e WrongStatus) Problem() *problem.Error { return problem.TooLate.Problem(e.Error()) }

// The states of a replay; see docs/states.md.
const (
	Planned   = state.Planned
	Running   = state.Running
	Paused    = state.Paused
	Completed = state.Completed
	Cancelled = state.ReplayCancelled
)

// Start starts a plan, at a rate of alerts a minute; 0 is as fast as SendGrid accepts them.
// A replay that was started before keeps its rate.
func (rs *Replays) Start(ctx context.Context, actor string, id uuid.UUID, rate int) (Replay, error) {
	if rate < 0 || rate > int(limits.ReplayRate) {
		return Replay{}, &Invalid{[]problem.Fault{{Location: "body.rate", Message: fmt.Sprintf("is not a number of alerts a minute from 1 to %s; 0 sets no limit", limits.ReplayRate)}}}
	}
	return rs.change(ctx, actor, events.ReplayStarted{ReplayID: id, Rate: rate}, id, Running, Paused, Completed)
}

// Pause stops the remaining alerts of a replay until it is resumed.
func (rs *Replays) Pause(ctx context.Context, actor string, id uuid.UUID) (Replay, error) {
	return rs.change(ctx, actor, events.ReplayPaused{ReplayID: id, Change: uuid.New()}, id, Paused)
}

// Resume ends a pause.
func (rs *Replays) Resume(ctx context.Context, actor string, id uuid.UUID) (Replay, error) {
	return rs.change(ctx, actor, events.ReplayResumed{ReplayID: id, Change: uuid.New()}, id, Running)
}

// Cancel ends a replay, started or not. Alerts that were sent stay sent.
func (rs *Replays) Cancel(ctx context.Context, actor string, id uuid.UUID) (Replay, error) {
	return rs.change(ctx, actor, events.ReplayCancelled{ReplayID: id}, id, Cancelled)
}

// change publishes an event that changes a replay's status, and nothing where the replay
// already has one of the statuses in already. If two requests change a replay at once, the
// order of the record decides.
func (rs *Replays) change(ctx context.Context, actor string, body events.Body, id uuid.UUID, already ...state.Replay) (Replay, error) {
	r, err := rs.Get(ctx, id)
	switch {
	case err != nil:
		return Replay{}, err
	case slices.Contains(already, r.Status):
		return r, nil
	}
	if _, moves := r.Status.After(body.EventType()); !moves {
		return Replay{}, WrongStatus{r.Status}
	}
	if err := rs.publish(ctx, actor, body); err != nil {
		return Replay{}, err
	}
	return rs.Get(ctx, id)
}

func (rs *Replays) publish(ctx context.Context, actor string, body events.Body) error {
	kind := body.EventType()
	seq, err := rs.cfg.Facts.Publish(ctx, actor, rs.cfg.Facts.Now(), body)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", kind, err)
	}
	ctx, cancel := context.WithTimeout(ctx, facts.ReadTimeout)
	defer cancel()
	if err := rs.cfg.Facts.Wait(ctx, seq); err != nil {
		return fmt.Errorf("%s is recorded but can't be read yet: %w", kind, err)
	}
	return nil
}
