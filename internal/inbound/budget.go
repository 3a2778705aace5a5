package inbound

import (
	"slices"
	"sync"
	"time"
)

// budgets are the memory for bodies larger than DefaultBytes. Unauthenticated clients (strangers)
// have their own, so that they can't stop authenticated ones from uploading.
type budgets struct{ strangers, known budget }

const (
	strangersBytes = 32 << 20
	knownBytes     = 128 << 20
	// How long a body may take before it is aborted for one that waits. SendGrid's posts
	// are fast; an upload over a slow line takes longer.
	strangersTimeout = time.Second
	knownTimeout     = 30 * time.Second
	// queueTimeout is how long a body waits for memory.
	queueTimeout = 10 * time.Second
)

func newBudgets() *budgets {
	return &budgets{
		strangers: budget{free: strangersBytes, timeout: strangersTimeout},
		known:     budget{free: knownBytes, timeout: knownTimeout},
	}
}

// defaultBudgets are the budgets of handlers that are served without NewServer.
var defaultBudgets = newBudgets()

// A budget is the memory that bodies may hold at one time.
type budget struct {
	timeout time.Duration

	mu      sync.Mutex
	free    int64
	reading []*guard // have memory and are not read to their end, the oldest first
	waiting []*guard // the newest last; the newest is served first, so that a new body need not wait for a crowd
}

// reserve reserves the memory of a body, and waits for it if necessary. Bodies that have
// taken longer than the budget's timeout are aborted for those that wait. It fails with
// ErrBusy.
func (b *budget) reserve(g *guard) error {
	b.mu.Lock()
	g.granted = make(chan struct{})
	b.waiting = append(b.waiting, g)
	b.grant()
	b.mu.Unlock()
	late := time.NewTimer(queueTimeout)
	defer late.Stop()
	for {
		look := time.NewTimer(b.makeRoom())
		select {
		case <-g.granted:
			look.Stop()
			return nil
		case <-look.C:
			continue
		case <-late.C:
		case <-g.ctx.Done():
		}
		look.Stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		if g.holding { // granted just now
			return nil
		}
		b.waiting = slices.DeleteFunc(b.waiting, func(one *guard) bool { return one == g })
		return ErrBusy
	}
}

// grant gives free memory to waiting bodies. The caller has locked b.
func (b *budget) grant() {
	for len(b.waiting) > 0 {
		next := b.waiting[len(b.waiting)-1]
		if b.free < next.body.Memory {
			return
		}
		b.waiting = b.waiting[:len(b.waiting)-1]
		b.free -= next.body.Memory
		next.holding, next.since = true, time.Now()
		b.reading = append(b.reading, next)
		close(next.granted)
	}
}

// makeRoom aborts slow bodies, at most as many as others wait, and returns how long to wait
// before the next call.
func (b *budget) makeRoom() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.waiting {
		if len(b.reading) == 0 {
			break
		}
		if left := b.timeout - time.Since(b.reading[0].since); left > 0 {
			return left
		}
		b.reading[0].evict()
		b.reading = b.reading[1:]
	}
	return b.timeout
}

// done notes that a body was read to its end. It can no longer be aborted, but its memory is
// in use until release.
func (b *budget) done(g *guard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(g)
}

func (b *budget) forget(g *guard) {
	b.reading = slices.DeleteFunc(b.reading, func(one *guard) bool { return one == g })
}

// release returns the memory of a body to the budget.
func (b *budget) release(g *guard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(g)
	g.holding = false
	b.free += g.body.Memory
	b.grant()
}
