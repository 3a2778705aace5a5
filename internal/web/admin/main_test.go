package admin_test

import (
	"testing"

	"postern/internal/events"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// recorded is every event of the types on the record, in order.
func recorded(t *testing.T, s *webtest.Site, types ...events.Type) (all []events.Event) {
	t.Helper()
	for seq := range s.Settle(t) {
		stored, err := s.Log.Get(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.Parse(stored.Header, stored.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range types {
			if e.Type == one {
				all = append(all, e)
			}
		}
	}
	return all
}
