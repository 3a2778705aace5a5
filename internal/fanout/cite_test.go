package fanout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/content"
	"postern/internal/directory/block"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/inbox/delivered"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// bodiesOf reads the bodies of a manifest to a group.
func bodiesOf(t interface{ Fatal(...any) }, manifest io.Reader) (all []events.DeliveriesByBlock, data [][]byte) {
	r, err := newManifestReader(manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for {
		_, body, err := r.body()
		if errors.Is(err, io.EOF) {
			return all, data
		}
		if err != nil {
			t.Fatal(err)
		}
		var b events.DeliveriesByBlock
		if err := b.UnmarshalJSON(body); err != nil {
			t.Fatal(fmt.Sprintf("%s: %v", body, err))
		}
		all, data = append(all, b), append(data, body)
	}
}

// For every audience, each block is in one chunk, with its members and its roster, and a chunk
// has at most a thousand recipients in a hundred blocks, and no room for the next block.
func TestAChunkHasWholeBlocks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want []events.CitedBlock
		count := 0
		most := rapid.SampledFrom([]int{3, block.Size}).Draw(t, "members of a block")
		for no := range block.No(rapid.IntRange(0, 8000/most).Draw(t, "blocks") % 300) {
			c := events.CitedBlock{No: 3 * no, Roster: events.NewNonce()}
			for place := range rapid.IntRange(1, most).Draw(t, "members") {
				c.Members.Add(place)
			}
			count += c.Members.Count()
			want = append(want, c)
		}
		body := events.DeliveriesByBlock{MessageID: uuid.New(), Day: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Groups: []string{"all_portal_users"}, Selection: "sha256:0"}
		var out bytes.Buffer
		w, err := newManifestWriter(&out, body.MessageID, nil)
		if err == nil {
			err = w.addBlocks(body, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		summary, err := w.close(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		bodies, _ := bodiesOf(t, &out)
		if summary.Count != count || summary.Chunks != len(bodies) {
			t.Fatalf("the summary is %+v of %d recipients in %d chunks", summary, count, len(bodies))
		}
		var got []events.CitedBlock
		nonces := map[[32]byte]bool{}
		sizeOf := func(blocks []events.CitedBlock) (n int) {
			for i := range blocks {
				n += blocks[i].Members.Count()
			}
			return n
		}
		for i, b := range bodies {
			if b.Chunk != i || b.MessageID != body.MessageID || !b.Day.Equal(body.Day) || b.Selection != body.Selection || nonces[b.Nonce] {
				t.Fatalf("chunk %d is %+v", i, b)
			}
			nonces[b.Nonce] = true
			if n := sizeOf(b.Blocks); n > events.ChunkSize || len(b.Blocks) > maxBlocks ||
				i+1 < len(bodies) && n+sizeOf(bodies[i+1].Blocks[:1]) <= events.ChunkSize && len(b.Blocks) < maxBlocks {
				t.Fatalf("chunk %d has %d recipients, and the next block %d", i, n, sizeOf(bodies[min(i+1, len(bodies)-1)].Blocks[:1]))
			}
			got = append(got, b.Blocks...)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(block.Members{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// The events of a message to a group cite rosters that Postgres and the content store have. Who
// gets the message can be read from them later, whatever the directory says by then, and after
// Postgres has lost its rosters.
func TestTheAudienceOfAGroupIsCited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := content.CreateKeyFile(filepath.Join(dir, "key"))
	must(t, err)
	kept, err := content.Open(t.Context(), filepath.Join(dir, "content"), filepath.Join(dir, "key"))
	must(t, err)
	t.Cleanup(func() { _ = kept.Close() })
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	// Portal users 1 to 600. Every third patient is discharged; number 500 has no patient.
	_, err = admin.Exec(t.Context(), `
		INSERT INTO app.portal_users (portal_user_id, name, active) SELECT 'pu-' || i, '', true FROM generate_series(1, 600) i;
		INSERT INTO app.patients (patient_id, status) SELECT 'pt-' || i, CASE i % 3 WHEN 0 THEN 'discharged' ELSE 'active' END FROM generate_series(1, 600) i;
		INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, 600) i WHERE i <> 500;
		INSERT INTO app.links (portal_user_no, patient_no, relationship) VALUES (7, 8, 'representative')`)
	must(t, err)
	today := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := New(Config{Pool: storetest.Open(t, url, store.RoleFanout), Content: kept, Facts: facts.Publisher{Clock: func() time.Time { return today }}})
	m := sendingOf(events.MessageSent{MessageID: uuid.New(), Recipients: events.Selection{PortalUserIDs: []string{"pu-3", "pu-500"}, Groups: []string{"active_patients"}}})
	key, err := w.manifestKey(t.Context(), m.id)
	must(t, err)
	summary, err := w.freeze(t.Context(), m, key)
	must(t, err)

	var want []string
	for i := 1; i <= 600; i++ {
		switch {
		case i == 7:
			want = append(want, "pu-7 7 [{pt-7 7 self} {pt-8 8 representative}]")
		case i == 500:
			want = append(want, "pu-500 500 []")
		case i == 3 || i%3 != 0:
			want = append(want, fmt.Sprintf("pu-%d %d [{pt-%d %d self}]", i, i, i, i))
		}
	}
	if summary.Count != len(want) || summary.Chunks != 1 || summary.Included["added"] != 2 || summary.Included["active_patient"] != len(want)-2 {
		t.Errorf("the summary is %+v, want %d recipients", summary, len(want))
	}
	manifest, err := kept.Get(t.Context(), content.ManifestOf(m.id), key)
	must(t, err)
	bodies, data := bodiesOf(t, manifest)
	must(t, manifest.Close())
	b := bodies[0]
	if b.Selection != m.recipients.Digest() || !slices.Equal(b.Groups, m.recipients.Groups) || b.Day.Format(time.DateOnly) != "2026-03-01" {
		t.Errorf("the body says %s", data[0])
	}
	e := w.chunkEvent(m.id, 0, summary.Chunks, data[0])
	if !e.IsByBlock() || e.PublicLength == 0 || *e.Chunk != (events.ChunkRef{Index: 0, Of: 1}) {
		t.Errorf("the event is %+v", e)
	}
	recipients := func() (got []string, err error) {
		err = delivered.Each(t.Context(), admin, &e, nil, func(r *events.Recipient) error {
			got = append(got, fmt.Sprintf("%s %d %v", r.PortalUserID, r.PortalUserNo, r.Links))
			return nil
		})
		return got, err
	}
	same := func(when string) {
		t.Helper()
		got, err := recipients()
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	same("frozen")
	_, err = admin.Exec(t.Context(), `UPDATE app.links SET valid_until = '2020-01-01'; UPDATE app.patients SET patient_id = patient_id || '-renamed'`)
	must(t, err)
	same("after the directory has changed")
	_, err = admin.Exec(t.Context(), `DELETE FROM app.block_rosters; DELETE FROM app.rosters; DELETE FROM app.roster_facts; DELETE FROM app.roster_names`)
	must(t, err)
	if got, err := recipients(); !errors.Is(err, cited.ErrDamaged) {
		t.Errorf("without rosters there are %d recipients, %v", len(got), err)
	}
	for range 2 { // a second time it finds nothing lost
		must(t, rosterstore.Restore(t.Context(), w.Pool, kept))
		same("restored")
	}
	one := 0
	err = delivered.Each(t.Context(), admin, &e, func(no int32) bool { return no == 7 }, func(r *events.Recipient) error {
		if one++; r.PortalUserID != "pu-7" {
			t.Errorf("%+v is not wanted", r)
		}
		return nil
	})
	if err != nil || one != 1 {
		t.Errorf("%d recipients, %v", one, err)
	}
}
