package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A batcher carries out calls that are made at the same time together, in few large steps
// instead of many small ones. While one batch runs, the calls that come in wait for the next.
// Without a group, a call waits for nothing else: a quiet worker loses no time, and a busy one
// makes batches.
//
// Each call has its own result. If a batch of several calls fails as a whole, each of its
// callers carries out its own call alone, so that no call fails because of another. run must
// therefore be idempotent.
type batcher[In, Out any] struct {
	most int // the size of the largest batch
	// run carries out a batch. It returns a result for each call, in their order.
	run func(ctx context.Context, batch []In) ([]Out, error)
	// linger is how long an incomplete batch waits for more calls.
	linger time.Duration
	of     *group // whose members call; nil: anyone

	mu      sync.Mutex
	waiting []*call[In, Out]
	running bool
	timer   *time.Timer // ends the wait of an incomplete batch
}

// errAlone says that a batch failed and that each of its calls is to be carried out alone.
var errAlone = errors.New("the batch failed")

type call[In, Out any] struct {
	ctx  context.Context
	in   In
	out  Out
	err  error
	done chan struct{} // closed once out and err are set
}

// do carries out a call. If ctx ends, do returns at once, and it is not known whether the call
// was carried out, as with a statement that is cancelled.
func (b *batcher[In, Out]) do(ctx context.Context, in In) (out Out, err error) {
	c := &call[In, Out]{ctx: ctx, in: in, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	complete := b.linger == 0 || len(b.waiting) >= b.most
	if !complete && b.timer == nil {
		b.timer = time.AfterFunc(b.linger, b.start)
	}
	b.mu.Unlock()
	switch {
	case b.of != nil:
		b.of.wait(b.start)
	case complete:
		b.start()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return out, ctx.Err()
	}
	if errors.Is(c.err, errAlone) {
		all, err := b.run(ctx, []In{in})
		if err != nil {
			return out, err
		}
		return all[0], nil
	}
	return c.out, c.err
}

// start carries out what waits, complete or not.
func (b *batcher[In, Out]) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if !b.running && len(b.waiting) > 0 {
		b.running = true
		go b.runAll()
	}
}

// runAll carries out a batch, and further ones until no call waits. A further batch that is
// incomplete waits for its timer.
func (b *batcher[In, Out]) runAll() {
	for first := true; ; first = false {
		b.mu.Lock()
		n := min(len(b.waiting), b.most)
		if n == 0 || !first && n < b.most && b.timer != nil {
			b.running = false
			b.mu.Unlock()
			return
		}
		batch := b.waiting[:n:n]
		b.waiting = b.waiting[n:]
		b.mu.Unlock()
		b.runBatch(batch)
		if b.of != nil {
			b.of.resume(n)
		}
		for _, c := range batch {
			close(c.done)
		}
	}
}

// runBatch carries out the calls that have not been given up.
func (b *batcher[In, Out]) runBatch(batch []*call[In, Out]) {
	var calls []*call[In, Out]
	var ins []In
	for _, c := range batch {
		if c.err = c.ctx.Err(); c.err == nil {
			calls, ins = append(calls, c), append(ins, c.in)
		}
	}
	if len(calls) == 0 {
		return
	}
	ctx, stop := whileAny(calls)
	defer stop()
	outs, err := b.try(ctx, ins)
	if err != nil && len(calls) > 1 {
		err = errAlone
	}
	for i, c := range calls {
		if c.err = err; err == nil {
			c.out = outs[i]
		}
	}
}

// try turns a panic into an error: the caller, which carries out its call alone, panics in its
// own goroutine.
func (b *batcher[In, Out]) try(ctx context.Context, ins []In) (outs []Out, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: panic: %v", errAlone, v)
		}
	}()
	return b.run(ctx, ins)
}

// whileAny returns a context that ends once all of the calls were given up. It has the values
// of the first.
func whileAny[In, Out any](calls []*call[In, Out]) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(calls[0].ctx))
	var mu sync.Mutex
	left := len(calls)
	stops := make([]func() bool, len(calls))
	for i, c := range calls {
		stops[i] = context.AfterFunc(c.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, s := range stops {
			s()
		}
		cancel()
	}
}
