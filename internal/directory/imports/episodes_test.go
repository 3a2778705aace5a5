package imports

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A patient is discharged when all episodes of care are finished or cancelled, whatever
// files they are in. Episodes entered in error are ignored.
func TestEpisodesDischarge(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	cases := map[string]string{
		"": "active", "finished": "discharged", "cancelled": "discharged", "finished cancelled finished": "discharged",
		"active": "active", "planned": "active", "waitlist": "active", "onhold": "active",
		"finished active": "active", "cancelled planned finished": "active", "active finished cancelled": "active",
		"entered-in-error": "active", "finished entered-in-error": "discharged", "active entered-in-error": "active",
	}
	dir, want := sourcetest.Folder(), map[string]string{}
	var patients strings.Builder
	n := 0
	for statuses, status := range cases {
		n++
		id := fmt.Sprint("p-", n)
		want[id] = status
		fmt.Fprintf(&patients, `{"resourceType":"Patient","id":%q}`+"\n", id)
		for i, s := range strings.Fields(statuses) {
			for name, file := range sourcetest.Folder(fmt.Sprintf("EpisodeOfCare.%d-%d.ndjson", n, i), episodeOf(id, s)) {
				dir[name] = file
			}
		}
	}
	for name, file := range sourcetest.Folder("Patient.ndjson", patients.String()) {
		dir[name] = file
	}
	if _, err := FHIR(t.Context(), pool, dir, Options{Today: today}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	rows, err := pool.Query(t.Context(), `SELECT patient_id, status FROM app.patients`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id, status string
		if err := rows.Scan(&id, &status); err != nil {
			t.Fatal(err)
		}
		got[id] = status
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Several portal users may have the same address. Case does not matter.
func TestAFamilySharesAnAddress(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	email := `"telecom":[{"system":"email","value":"Family@example.test"},{"system":"email","value":"family@example.test"}]`
	s, err := FHIR(t.Context(), pool, sourcetest.Folder(
		"Patient.ndjson", `{"resourceType":"Patient","id":"p-1",`+email+`}`+"\n"+`{"resourceType":"Patient","id":"p-2",`+email+`}`,
		"RelatedPerson.ndjson", `{"resourceType":"RelatedPerson","id":"r-1","patient":{"reference":"Patient/p-2"},`+email+`}`), Options{Today: today})
	if err != nil || s.PortalUsers.New != 3 {
		t.Fatal(s, err)
	}
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM app.portal_users WHERE email = 'Family@example.test' AND active`).Scan(&n); err != nil || n != 3 {
		t.Errorf("%d have the address: %v", n, err)
	}
}

// An import of many lines holds only a few of them in memory at a time.
func TestAnImportUsesLittleMemory(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	const lines = 300_000 // 19 MiB
	next := 0
	var rest []byte
	content := readerFunc(func(p []byte) (int, error) {
		if len(rest) == 0 && next > lines {
			return 0, io.EOF
		}
		if len(rest) == 0 {
			rest = fmt.Appendf(nil, "pu-%d,\"A name, of some length\",someone.%d@example.test,true\r\n", next, next)
			if next == 0 {
				rest = []byte("\uFEFF" + strings.ReplaceAll(sourcetest.PortalUsersHeader, "\n", "\r\n"))
			}
			next++
		}
		n := copy(p, rest)
		rest = rest[n:]
		return n, nil
	})
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, calls := uint64(0), 0
	s, err := CSV(t.Context(), pool, []File{{Name: "u.csv", Size: lines * 64, Content: content}}, Options{DryRun: true, Progress: func(int64, int64) {
		if calls++; calls%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	}})
	if err != nil || s.PortalUsers.New != lines {
		t.Fatal(s, err)
	}
	if grown := int64(most) - int64(before.HeapAlloc); calls < lines || grown > 8<<20 {
		t.Errorf("in %d steps memory grew by %d MiB", calls, grown>>20)
	}
}
