package notify

import (
	"context"
	"slices"
	"sync"
	"time"

	"postern/internal/events"
)

// Chunks of a blast are alerted in groups of up to mostTogether. Each chunk has its own handler,
// which goes the same way as that of a single chunk. Only what costs a statement is done once for
// the group: the gate (awaitSettled), loading, claims and accepted answers. Each chunk has its own
// request, and all requests of a group are made at the same time. Outcomes are collected from all
// groups and published in larger batches: nothing waits for them.
//
// A step begins when every member waits for one: a chunk that needs two requests, because portal
// users share an address, claims the second while others are done. A member for whose answer the
// others would wait too long joins a later step, and one with any other answer than acceptance
// leaves the group and goes on alone.

const (
	// mostTogether is the number of chunks in the largest group, and mostCalling the number of
	// chunks of blasts that a worker may have between the gate and their outcomes: one group waits
	// for SendGrid while another loads or stores. After a crash the alerts of all these chunks may
	// be unknown.
	mostTogether = 8
	mostCalling  = 2 * mostTogether
	// gatherTime is how long the first chunk of a group waits for others.
	gatherTime = 20 * time.Millisecond
	// straggle is how long the members of a group wait for the answer to another's request.
	straggle = 100 * time.Millisecond
	// mostOutcomes is the size of the largest batch of outcomes. A batch costs the record as much
	// as ten events. An incomplete one is published after outcomesTime.
	mostOutcomes = 32
	outcomesTime = 50 * time.Millisecond
)

// Slots is how many chunks of blasts a worker can use at once: those of its groups, those whose
// outcomes are being published, and those whose outcomes come next.
const Slots = mostCalling + 2*mostOutcomes

// steps are what several handlers do together.
type steps struct {
	loads    batcher[chunkRef, loaded]      // see loadAll
	claims   batcher[claimOf, bool]         // see insertAll
	answers  batcher[claimOf, bool]         // see settleAccepted
	outcomes *batcher[events.Event, uint64] // see publish
}

// init prepares the steps of a group; nil: of handlers that are in none, but happen to do the
// same at the same time.
func (s *steps) init(w *Worker, of *group) {
	s.loads = batcher[chunkRef, loaded]{most: mostTogether, of: of, run: func(ctx context.Context, refs []chunkRef) ([]loaded, error) {
		defer w.countWork(of, time.Now())
		return loadAll(ctx, w.Pool, refs)
	}}
	s.claims = batcher[claimOf, bool]{most: mostTogether, of: of, run: func(ctx context.Context, all []claimOf) ([]bool, error) {
		defer w.countWork(of, time.Now())
		return insertAll(ctx, w.Pool, all)
	}}
	s.answers = batcher[claimOf, bool]{most: mostTogether, of: of, run: func(ctx context.Context, all []claimOf) ([]bool, error) {
		defer w.countWork(of, time.Now())
		return settleAccepted(ctx, w.Pool, all)
	}}
	s.outcomes = &batcher[events.Event, uint64]{most: mostOutcomes, run: w.send}
	if of != nil {
		s.outcomes = &w.outcomes
	}
}

// countWork adds the time since a step of a group began to what the groups have worked.
func (w *Worker) countWork(of *group, began time.Time) {
	if of != nil {
		w.worked.Add(int64(time.Since(began)))
	}
}

// A group is a number of chunks that are alerted together.
type group struct {
	steps
	mu      sync.Mutex
	busy    int      // members that wait for no step
	pending []func() // starts the steps that members wait for
	timer   *time.Timer
}

// gather returns the groups of handlers that came together at the gate. It waits for small work
// first.
func (w *Worker) gather(ctx context.Context, members []struct{}) ([]*group, error) {
	if err := w.awaitSettled(ctx); err != nil {
		return nil, err
	}
	if _, err := w.Pace.Rest(ctx, time.Duration(w.worked.Swap(0))); err != nil {
		return nil, err
	}
	g := &group{busy: len(members)}
	g.steps.init(w, g)
	return slices.Repeat([]*group{g}, len(members)), nil
}

// A member is a chunk on its way, in a group or in none.
type member struct {
	*steps
	of      *group // nil: none
	calling bool   // one of mostCalling
}

// alone returns a member of no group.
func (w *Worker) alone() *member { return &member{steps: &w.shared} }

// enter waits until a chunk of a blast may go on, and takes it through the gate.
func (w *Worker) enter(ctx context.Context) (*member, error) {
	select {
	case w.calling <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	g, err := w.gate.do(ctx, struct{}{})
	if err != nil {
		<-w.calling
		return nil, err
	}
	return &member{steps: &g.steps, of: g, calling: true}, nil
}

// membership returns the member that does the work.
func (w *Worker) membership(work *work) *member {
	if work.with == nil {
		work.with = w.alone()
	}
	return work.with
}

// goOnAlone takes the chunk out of its group.
func (m *member) goOnAlone(w *Worker) {
	if m.of != nil {
		m.of.leave()
		m.steps, m.of = &w.shared, nil
	}
}

// leave says that no more requests are made for the chunk.
func (m *member) leave(w *Worker) {
	m.goOnAlone(w)
	if m.calling {
		m.calling = false
		<-w.calling
	}
}

// wait says that a member waits for a step.
func (g *group) wait(start func()) {
	g.mu.Lock()
	g.busy--
	g.pending = append(g.pending, start)
	if g.timer == nil {
		g.timer = time.AfterFunc(straggle, g.begin)
	}
	g.mu.Unlock()
	g.beginIfAllWait()
}

// resume says that members have what they waited for.
func (g *group) resume(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy += n
}

// leave says that a member waits for no more steps of the group.
func (g *group) leave() {
	g.mu.Lock()
	g.busy--
	g.mu.Unlock()
	g.beginIfAllWait()
}

func (g *group) beginIfAllWait() {
	g.mu.Lock()
	all := g.busy <= 0
	g.mu.Unlock()
	if all {
		g.begin()
	}
}

// begin starts the steps for which members wait.
func (g *group) begin() {
	g.mu.Lock()
	pending := g.pending
	g.pending = nil
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	g.mu.Unlock()
	for _, start := range pending {
		start()
	}
}
