package inbound

import (
	"slices"
	"sync"
	"time"
)

// Budgets of memory for bodies that are larger than Small: strangers can use up theirs
// and keep no one who is signed in from uploading.
type budgets struct{ strangers, known budget }

const (
	strangersBytes = 32 << 20
	knownBytes     = 128 << 20
	// How long a body may take before it is broken off for one that waits. What
	// SendGrid posts takes a moment; an upload over a poor line takes its time.
	strangersTimeout = time.Second
	knownTimeout     = 30 * time.Second
	// turn is how long a body waits for its turn.
	turn = 10 * time.Second
)

func newBudgets() *budgets {
	return &budgets{
		strangers: budget{free: strangersBytes, timeout: strangersTimeout},
		known:     budget{free: knownBytes, timeout: knownTimeout},
	}
}

// spare are the budgets of what is mounted without NewServer.
var spare = newBudgets()

// A budget is how much memory bodies may hold at one time.
type budget struct {
	timeout time.Duration

	mu      sync.Mutex
	free    int64
	reading []*guard // hold some of it and are not read to their end, the oldest first
	waiting []*guard // the newest last, which is the next: one that comes at once overtakes a crowd
}

// take takes what a body is to hold, and waits for it if need be. Bodies that have
// taken longer than the budget's timeout are broken off for those that wait. It fails
// with ErrBusy.
func (b *budget) take(g *guard) error {
	b.mu.Lock()
	g.granted = make(chan struct{})
	b.waiting = append(b.waiting, g)
	b.grant()
	b.mu.Unlock()
	late := time.NewTimer(turn)
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
		if g.holding { // granted this moment
			return nil
		}
		b.waiting = slices.DeleteFunc(b.waiting, func(one *guard) bool { return one == g })
		return ErrBusy
	}
}

// grant gives what is free to those that wait. The caller has locked b.
func (b *budget) grant() {
	for len(b.waiting) > 0 {
		next := b.waiting[len(b.waiting)-1]
		if b.free < next.body.Hold {
			return
		}
		b.waiting = b.waiting[:len(b.waiting)-1]
		b.free -= next.body.Hold
		next.holding, next.since = true, time.Now()
		b.reading = append(b.reading, next)
		close(next.granted)
	}
}

// makeRoom breaks off as many bodies that took too long as others wait, and says when
// to look again.
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

// done notes that a body was read to its end: it is not broken off any more, though
// what it held is in use until give.
func (b *budget) done(g *guard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(g)
}

func (b *budget) forget(g *guard) {
	b.reading = slices.DeleteFunc(b.reading, func(one *guard) bool { return one == g })
}

// give gives back what a body held.
func (b *budget) give(g *guard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(g)
	g.holding = false
	b.free += g.body.Hold
	b.grant()
}
