package labelstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"postern/internal/compose/composetest"
	"postern/internal/eventlog/facts"
	"postern/internal/labels"
	"postern/internal/labels/labelstore"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func newBook(t *testing.T) (*composetest.System, *labelstore.Store) {
	s := composetest.New(t)
	return s, labelstore.New(labelstore.Config{Pool: s.Pool, Facts: facts.Publisher{Source: "/api", Send: s.Publish, Reached: s.Position.Wait, Clock: s.Clock.Now}})
}

// patients asks for another word for patients, whatever it is now.
func patients(one string) func(labels.Labels) (labels.Labels, error) {
	return labels.To(labels.Labels{Patient: &labels.Label{One: one, Many: one + "s"}})
}

// A staff member who changes a label back sees the change before, however quick they are.
func TestAChangeIsSeenByTheNext(t *testing.T) {
	t.Parallel()
	_, book := newBook(t)
	for i := range 30 {
		for _, word := range []string{fmt.Sprint("Client ", i), "Patient"} {
			if _, _, err := book.Change(t.Context(), "staff:ada", patients(word)); err != nil {
				t.Fatal(err)
			}
			if now, err := book.Current(t.Context()); err != nil || now.Patient.One != word {
				t.Fatalf("%d: changed to %q, it is %+v: %v", i, word, now.Patient, err)
			}
		}
	}
}

// Of several who change what they saw, one at a time does; the others are asked again
// with what it is then.
func TestTwoAdministratorsAtOnce(t *testing.T) {
	t.Parallel()
	s, book := newBook(t)
	errMeanwhile := errors.New("another staff member was faster")
	var hands sync.WaitGroup
	results := make(chan error, 8)
	for i := range 8 {
		hands.Go(func() {
			_, _, err := book.Change(t.Context(), fmt.Sprint("staff:", i), func(now labels.Labels) (labels.Labels, error) {
				if now.Patient.One != "Patient" {
					return labels.Labels{}, errMeanwhile
				}
				return patients(fmt.Sprint("Client ", i))(now)
			})
			results <- err
		})
	}
	hands.Wait()
	close(results)
	changed := 0
	for err := range results {
		switch {
		case err == nil:
			changed++
		case !errors.Is(err, errMeanwhile):
			t.Error(err)
		}
	}
	if last := s.Settle(t); changed != 1 || last != 1 {
		t.Errorf("%d changed it, by %d events", changed, last)
	}
}
