package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// members lets n members of a group call b, and returns their results in order.
func members(t *testing.T, b *batcher[int, int], n int) (outs []int, errs []error) {
	t.Helper()
	outs, errs = make([]int, n), make([]error, n)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { outs[i], errs[i] = b.do(t.Context(), i) })
	}
	calls.Wait()
	return outs, errs
}

// A step of a group waits for the members on their way, and not for those who have left.
func TestAStepBeginsWhenAllWait(t *testing.T) {
	t.Parallel()
	g := &group{busy: 5}
	var sizes []int
	b := &batcher[int, int]{most: mostTogether, of: g, run: func(_ context.Context, all []int) ([]int, error) {
		sizes = append(sizes, len(all))
		return all, nil
	}}
	g.timer = time.AfterFunc(time.Hour, func() {}) // no step begins by time
	go g.leave()
	if outs, _ := members(t, b, 4); !slices.Equal(outs, []int{0, 1, 2, 3}) || !slices.Equal(sizes, []int{4}) {
		t.Errorf("batches of %v gave %v", sizes, outs)
	}
}

// A member on its way delays the others for a short time at most.
func TestAStepDoesNotWaitForAStraggler(t *testing.T) {
	t.Parallel()
	g := &group{busy: 3}
	b := &batcher[int, int]{most: mostTogether, of: g, run: func(_ context.Context, all []int) ([]int, error) { return all, nil }}
	if outs, errs := members(t, b, 2); !slices.Equal(outs, []int{0, 1}) || errors.Join(errs...) != nil {
		t.Errorf("they gave %v, %v", outs, errs)
	}
}

// No call fails because of another: after an error or a panic of a batch, each is carried out
// alone.
func TestABatchThatFails(t *testing.T) {
	t.Parallel()
	errOdd := errors.New("odd")
	for name, fail := range map[string]func() error{
		"an error": func() error { return errOdd },
		"a panic":  func() error { panic("odd") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &group{busy: 4}
			b := &batcher[int, int]{most: mostTogether, of: g, run: func(_ context.Context, all []int) ([]int, error) {
				if len(all) > 1 {
					return nil, fail()
				}
				if all[0]%2 == 1 {
					return nil, errOdd
				}
				return all, nil
			}}
			outs, errs := members(t, b, 4)
			if errs[0] != nil || outs[2] != 2 || errs[2] != nil || !errors.Is(errs[1], errOdd) || !errors.Is(errs[3], errOdd) {
				t.Errorf("they gave %v, %v", outs, errs)
			}
		})
	}
}

// A batch runs as long as any of its callers waits, and calls that come in meanwhile are made
// together in the next.
func TestABatchOutlivesSomeOfItsCallers(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	var batches atomic.Int32
	b := &batcher[int, int]{most: mostTogether, run: func(ctx context.Context, all []int) ([]int, error) {
		if batches.Add(1) == 1 {
			close(begun)
			<-finish
		}
		return all, ctx.Err()
	}}
	ctx, giveUp := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := b.do(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("the call that was given up says %v", err)
		}
	})
	<-begun
	giveUp()
	calls.Wait()
	for i := range 3 {
		calls.Go(func() {
			if got, err := b.do(t.Context(), i); got != i || err != nil {
				t.Errorf("call %d gave %d, %v", i, got, err)
			}
		})
	}
	for waiting := 0; waiting < 3; { // ended by the test's own deadline
		b.mu.Lock()
		waiting = len(b.waiting)
		b.mu.Unlock()
	}
	close(finish)
	calls.Wait()
	if n := batches.Load(); n != 2 {
		t.Errorf("there were %d batches", n)
	}
}
