package problem_test

import (
	"errors"
	"fmt"
	"testing"

	"postern/internal/problem"
)

// A problem is found wherever it is wrapped: the first counts, but an internal error
// counts before all others.
func TestOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("too late")
	away, late := problem.RecordUnavailable.New("away"), problem.TooLate.Wrap(cause, "too late: it went out")
	broken := problem.Internal.Problem("invalid event")
	for _, c := range []struct {
		name string
		err  error
		want *problem.Kind
	}{
		{"none", errors.New("the connection failed"), nil},
		{"itself", away, &problem.RecordUnavailable},
		{"wrapped", fmt.Errorf("sending: %w", late), &problem.TooLate},
		{"the first of two", fmt.Errorf("%w: %w", late, away), &problem.TooLate},
		{"joined", errors.Join(errors.New("x"), away), &problem.RecordUnavailable},
		{"described", fmt.Errorf("asking: %w", described{}), &problem.TooMany},
		{"internal wins", fmt.Errorf("%w: publishing: %w", away, fmt.Errorf("%w: no schema", broken)), &problem.Internal},
		{"internal as a cause", problem.TooLate.Wrap(broken, "x"), &problem.Internal},
	} {
		got := problem.Of(c.err)
		if (got == nil) != (c.want == nil) || got != nil && got.Kind != *c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if !errors.Is(late, cause) || late.Error() != "too late: it went out" {
		t.Errorf("%v does not wrap its cause", late)
	}
}

type described struct{}

func (described) Error() string           { return "not so fast" }
func (described) Problem() *problem.Error { return problem.TooMany.Problem("not so fast") }

// Programs depend on the names: each is unique, and each status is one of a failure.
func TestKinds(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range problem.Kinds() {
		if k.Advice() == "" {
			t.Errorf("%s has no advice: say in advice.go what a client does about it", k.Name)
		}
		if seen[k.Name] || k.Title == "" || k.Status < 400 || k.Status > 599 {
			t.Errorf("%+v", k)
		}
		seen[k.Name] = true
	}
}
