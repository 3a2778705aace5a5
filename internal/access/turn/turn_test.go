package turn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A hall has Turns whose checks end when the test says so: it has no clock.
type hall struct {
	*Turns
	t       rapid.TB
	waiting []*Visit
	running []*Visit // the oldest first
	names   map[*Visit]string
	served  []string // whose turns came, in that order
}

func newHall(t rapid.TB, slots int) *hall {
	return &hall{Turns: New(slots), t: t, names: map[*Visit]string{}}
}

// enter begins a visit that waits for its turn.
func (h *hall) enter(class Class, key string) *Visit {
	h.t.Helper()
	v, err := h.Enter(class, key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.names[v] = key
	h.again(v)
	return v
}

// again lines a visit up that is not waiting.
func (h *hall) again(v *Visit) {
	v.wait()
	h.waiting = append(h.waiting, v)
	h.look()
}

// look notes whose turn has come.
func (h *hall) look() {
	for _, v := range h.waiting {
		if v.holds {
			h.running = append(h.running, v)
			h.served = append(h.served, h.names[v])
		}
	}
	h.waiting = slices.DeleteFunc(h.waiting, func(v *Visit) bool { return v.holds || v.client == nil })
}

// finish ends the oldest check, and the visit.
func (h *hall) finish() *Visit {
	v := h.running[0]
	h.running = h.running[1:]
	v.done()
	v.Leave()
	h.look()
	return v
}

// turnsBefore returns the number of checks that get their turn before that of a visit, from now
// on.
func (h *hall) turnsBefore(v *Visit) int {
	if v.holds {
		return 0
	}
	began := len(h.served)
	for !v.holds {
		h.finish()
	}
	return len(h.served) - 1 - began
}

// Fifty networks that guess, with as many tries as they may have, delay no one else by a single
// check.
func TestGuessersDelayNoOneElse(t *testing.T) {
	for class, name := range map[Class]string{Known: "a known person", Quiet: "a network without failures"} {
		h := newHall(t, 2)
		for n := range 50 {
			for range mostOfClass / 50 {
				h.enter(Suspect, fmt.Sprint("guesser ", n))
			}
		}
		owner := h.enter(class, "owner")
		if n := h.turnsBefore(owner); n != 0 {
			t.Errorf("%s waits for %d checks of guessers", name, n)
		}
	}
}

// A guesser has no failures when it begins. Once it has, its tries that wait lose their place.
func TestAGuesserLosesItsPlaces(t *testing.T) {
	h := newHall(t, 2)
	for n := range 50 {
		for range 20 {
			h.enter(Quiet, fmt.Sprint("guesser ", n))
		}
	}
	newcomer := h.enter(Quiet, "newcomer")
	for n := range 50 {
		h.Demote(fmt.Sprint("guesser ", n))
	}
	if n := h.turnsBefore(newcomer); n != 0 {
		t.Errorf("the newcomer waits for %d checks", n)
	}
	again, err := h.Enter(Quiet, "guesser 1")
	if err != nil || again.client.class != Suspect {
		t.Errorf("the next try of a guesser whose tries still wait: %v, %v", again, err)
	}
}

// A client that is a suspect by now is so with all its visits.
func TestALaterVisitDemotesTheEarlier(t *testing.T) {
	h := newHall(t, 2)
	for range 4 {
		h.enter(Quiet, "guesser")
	}
	h.enter(Suspect, "guesser")
	if n := h.turnsBefore(h.enter(Quiet, "newcomer")); n != 0 || h.lines[Quiet].visits != 1 {
		t.Errorf("the newcomer waits for %d checks", n)
	}
}

// Where a crowd is gone, its slot is given.
func TestACrowdEnds(t *testing.T) {
	for name, leave := range map[string]func(*hall, *Visit){
		"one gives up":     func(_ *hall, v *Visit) { v.giveUp() },
		"one is a suspect": func(h *hall, v *Visit) { h.Demote(h.names[v]) },
	} {
		h := newHall(t, 2)
		for n := range crowd + 3 {
			h.enter(Quiet, fmt.Sprint(n))
		}
		h.finish() // the crowd takes no last slot
		if h.busy != 1 {
			t.Fatalf("%s: %d slots are taken", name, h.busy)
		}
		leave(h, h.waiting[0])
		if h.busy != 2 {
			t.Errorf("%s: %d slots are taken after it", name, h.busy)
		}
	}
}

// Within a class clients take turns, whatever number of visits each has.
func TestClientsTakeTurns(t *testing.T) {
	h := newHall(t, 2)
	for range 4 {
		h.enter(Quiet, "many")
	}
	h.enter(Quiet, "few")
	h.enter(Quiet, "few")
	h.enter(Quiet, "one")
	for len(h.running) > 0 {
		h.finish()
	}
	want := []string{"many", "many", "many", "few", "one", "many", "few"}
	if diff := cmp.Diff(want, h.served); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

// In a crowd whoever came last is next: a flood from any number of networks that have not failed yet
// delays a person by the checks that are running. A client with many visits gains nothing by that.
func TestACrowdDelaysNoOne(t *testing.T) {
	h := newHall(t, 2)
	h.enter(Quiet, "many")
	for n := range mostOfClass / 2 {
		h.enter(Quiet, fmt.Sprint("flood ", n))
	}
	for range mostOfClient - 1 {
		h.enter(Quiet, "many")
	}
	for len(h.running) > 1 { // those that began before there was a crowd
		h.finish()
	}
	if n := h.turnsBefore(h.enter(Known, "owner")); n != 0 {
		t.Errorf("a known person waits for %d checks", n)
	}
	newcomer := h.enter(Quiet, "newcomer")
	for check := range 4 { // of a sign-in at the portal, while a guesser comes for each that is served
		if n := h.turnsBefore(newcomer); n > 1 {
			t.Errorf("check %d of the newcomer waits for %d", check, n)
		}
		h.running = slices.DeleteFunc(h.running, func(v *Visit) bool { return v == newcomer })
		newcomer.done()
		h.look()
		h.enter(Quiet, fmt.Sprint("more ", check))
		h.again(newcomer)
	}
	began := len(h.served)
	for range 100 {
		h.finish()
	}
	many := 0
	for _, name := range h.served[began:] {
		if name == "many" {
			many++
		}
	}
	if many > 1 {
		t.Errorf("of 100 checks %d are those of one client", many)
	}
}

// A suspect never takes the last slot, and has its turn when no one else waits.
func TestSuspectsLeaveASlotFree(t *testing.T) {
	h := newHall(t, 3)
	for range 5 {
		h.enter(Suspect, "guesser")
	}
	if len(h.running) != 2 {
		t.Fatalf("%d suspects are checked at a time, with three slots", len(h.running))
	}
	for len(h.running) > 0 {
		h.finish()
	}
	if len(h.served) != 5 {
		t.Errorf("%d of five were served", len(h.served))
	}
}

// The limits: of a client, and of a class. A client with few visits gets a place that a client
// with many loses.
func TestPlacesAreLimited(t *testing.T) {
	h := newHall(t, 2)
	for range mostOfClient {
		h.enter(Suspect, "guesser 0")
	}
	if _, err := h.Enter(Suspect, "guesser 0"); !errors.Is(err, ErrFull) {
		t.Errorf("a client has one visit more: %v", err)
	}
	for n := 1; n < mostOfClass/mostOfClient; n++ {
		for range mostOfClient {
			h.enter(Suspect, fmt.Sprint("guesser ", n))
		}
	}
	owner := h.enter(Suspect, "owner")
	dropped := 0
	for v := range h.names {
		if v.client == nil {
			dropped++
			if _, err := v.Turn(t.Context()); !errors.Is(err, ErrFull) {
				t.Errorf("the dropped visit: %v", err)
			}
		}
	}
	if dropped != 1 || h.lines[Suspect].visits != mostOfClass {
		t.Errorf("%d visits were dropped, and %d are there", dropped, h.lines[Suspect].visits)
	}
	if n := h.turnsBefore(owner); n > mostOfClass/mostOfClient {
		t.Errorf("the owner waits for %d checks, where there are %d guessers", n, mostOfClass/mostOfClient)
	}
	if _, err := h.Enter(Quiet, "newcomer"); err != nil {
		t.Errorf("suspects fill the class of others: %v", err)
	}
}

// A class in which everyone has one visit takes no one more.
func TestAClassOfEqualsIsFull(t *testing.T) {
	h := newHall(t, 2)
	for n := range mostOfClass {
		h.enter(Quiet, fmt.Sprint(n))
	}
	if _, err := h.Enter(Quiet, "one more"); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if _, err := h.Enter(Known, "a known person"); err != nil {
		t.Errorf("strangers fill the class of known people: %v", err)
	}
}

// A request that ends while it waits gives its place up, and a turn that came too late.
func TestWhoeverLeavesHoldsNothing(t *testing.T) {
	turns := New(2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var held []func()
	for n := range 3 {
		v, err := turns.Enter(Quiet, fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			if _, err := v.Turn(gone); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		} else {
			done, err := v.Turn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, done)
		}
		defer v.Leave()
	}
	for _, done := range held {
		done()
	}
	if turns.busy != 0 || len(turns.lines[Quiet].waiting) != 0 {
		t.Errorf("%d slots are taken, and %d clients wait", turns.busy, len(turns.lines[Quiet].waiting))
	}
}

// Whatever comes and goes: no slot is free while one waits who may have it, none is given twice,
// suspects leave one free, and the counts agree with the visits.
func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(2, 4).Draw(t, "slots")
		h := newHall(t, slots)
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				h.enter(Class(rapid.IntRange(0, 2).Draw(t, "class")), key.Draw(t, "key"))
			},
			"crowd": func(t *rapid.T) {
				class := Class(rapid.IntRange(0, 2).Draw(t, "class"))
				for range crowd {
					h.enter(class, fmt.Sprint("one of many ", len(h.names)))
				}
			},
			"finish": func(t *rapid.T) {
				if len(h.running) == 0 {
					t.Skip()
				}
				h.finish()
			},
			"again": func(t *rapid.T) {
				if len(h.running) == 0 {
					t.Skip()
				}
				v := h.running[0]
				h.running = h.running[1:]
				v.done()
				h.again(v)
			},
			"give up": func(t *rapid.T) {
				if len(h.waiting) == 0 {
					t.Skip()
				}
				v := h.waiting[0]
				v.giveUp()
				v.Leave()
				h.waiting = h.waiting[1:]
				h.look()
			},
			"demote": func(t *rapid.T) {
				h.Demote(key.Draw(t, "key"))
				h.look()
			},
			"": func(t *rapid.T) {
				if h.busy != len(h.running) || h.busy > slots {
					t.Fatalf("%d slots are taken by %d checks, and there are %d", h.busy, len(h.running), slots)
				}
				for class, l := range h.lines {
					free := slots - h.busy
					if Class(class) == Suspect || Class(class) == Quiet && l.crowded() {
						free--
					}
					if len(l.waiting) > 0 && free > 0 {
						t.Fatalf("class %d waits, and %d slots are free", class, free)
					}
					visits := 0
					for _, v := range slices.Concat(h.running, h.waiting) {
						if v.client.class == Class(class) {
							visits++
						}
					}
					if visits != l.visits {
						t.Fatalf("class %d counts %d visits, and has %d", class, l.visits, visits)
					}
				}
			},
		})
	})
}
