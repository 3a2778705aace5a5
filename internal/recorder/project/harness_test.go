package project

import (
	"testing"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// project writes events straight into a database, in runs of the sizes given and
// then one by one, as the active recorder would.
func project(t testing.TB, db Beginner, evs []events.Event, runs ...int) {
	t.Helper()
	var prepared []*Prepared
	for i, e := range evs {
		p, err := Prepare(merkle.Stored{Seq: uint64(i + 1), Subject: e.Subject(), Header: e.Header(), Data: e.Data})
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, p)
	}
	for at := 0; at < len(prepared); {
		n := 1
		if len(runs) > 0 {
			n, runs = min(runs[0], len(prepared)-at), runs[1:]
		}
		if err := Write(t.Context(), db, uint64(at), prepared[at:at+n]); err != nil {
			t.Fatal(err)
		}
		at += n
	}
}
