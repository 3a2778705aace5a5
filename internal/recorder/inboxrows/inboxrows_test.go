package inboxrows_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/inbox/authority"
	"postern/internal/recorder/inboxrows"
)

func to(no int32, patients ...int32) events.Recipient {
	r := events.Recipient{PortalUserID: "u", PortalUserNo: no, Links: []events.Link{}}
	for _, p := range patients {
		r.Links = append(r.Links, events.Link{PatientID: "p", PatientNo: p, Relationship: "self"})
	}
	return r
}

func created(t *testing.T, chunk int, recipients ...events.Recipient) *events.Event {
	t.Helper()
	e, err := events.New("/test", "process:test", time.Now(), events.DeliveriesCreated{MessageID: uuid.New(), Chunk: chunk, Recipients: recipients})
	if err != nil {
		t.Fatal(err)
	}
	e.Chunk = &events.ChunkRef{Index: chunk, Of: 4}
	return &e
}

func members(places ...int) (m block.Members) {
	for _, p := range places {
		m.Add(p)
	}
	return m
}

// A chunk has a row for each block, with the members and their patients. The first block may
// have begun in the chunk before.
func TestAChunkHasARowForEachBlock(t *testing.T) {
	t.Parallel()
	e := created(t, 3, to(7, 1, 2), to(250), to(251, 9), to(1000, 4))
	got, err := inboxrows.Of(e)
	if err != nil {
		t.Fatal(err)
	}
	want := &inboxrows.Chunk{Key: inboxrows.Key{Message: e.MessageID, Chunk: 3}, FirstNo: 7, LastNo: 1000, Deliveries: 4, Rows: []inboxrows.Row{
		{Block: 0, Part: 3, Members: members(6, 249), Authority: authority.List{1, 2, 0, 0}},
		{Block: 1, Members: members(0), Authority: authority.List{9, 0}},
		{Block: 3, Members: members(249), Authority: authority.List{4, 0}},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(block.Members{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A chunk that cites rosters has a row for each block, with the roster and the day.
func TestAChunkOfBlocksCitesRosters(t *testing.T) {
	t.Parallel()
	e := cited(t, events.CitedBlock{No: 2, Roster: [32]byte{1}, Members: members(0, 3)}, events.CitedBlock{No: 9, Roster: [32]byte{2}, Members: members(249)})
	got, err := inboxrows.Of(e)
	if err != nil {
		t.Fatal(err)
	}
	root := func(b byte) []byte { return append([]byte{b}, make([]byte, 31)...) }
	want := &inboxrows.Chunk{Key: inboxrows.Key{Message: e.MessageID, Chunk: 3}, FirstNo: 501, LastNo: 2500, Deliveries: 3, Rows: []inboxrows.Row{
		{Block: 2, Members: members(0, 3), Roster: root(1), Day: day}, {Block: 9, Members: members(249), Roster: root(2), Day: day}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(block.Members{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func cited(t *testing.T, blocks ...events.CitedBlock) *events.Event {
	t.Helper()
	e, err := events.New("/test", "process:test", time.Now(), events.DeliveriesByBlock{MessageID: uuid.New(), Chunk: 3, Day: day,
		Groups: []string{"all_portal_users"}, Selection: "sha256:0", Blocks: blocks, Nonce: events.NewNonce()})
	if err != nil {
		t.Fatal(err)
	}
	e.Chunk = &events.ChunkRef{Index: 3, Of: 4}
	return &e
}

// An event that contradicts itself gives no rows.
func TestAContradictionGivesNoRows(t *testing.T) {
	t.Parallel()
	noChunk, otherChunk, otherMessage := created(t, 0, to(1)), created(t, 0, to(1)), created(t, 0, to(1))
	noChunk.Chunk = nil
	otherChunk.Chunk.Index = 1
	otherMessage.MessageID = uuid.New()
	one := events.CitedBlock{No: 2, Members: members(0)}
	noParts, beyond := cited(t, one), cited(t, events.CitedBlock{No: 8589934, Members: members(249)})
	noParts.PublicLength = 0
	for name, e := range map[string]*events.Event{
		"headers without the parts": noParts, "beyond the last number": beyond, "a block twice": cited(t, one, one), "a block without members": cited(t, events.CitedBlock{No: 2}),
		"no chunk in the headers": noChunk, "another chunk in the headers": otherChunk, "another message in the headers": otherMessage,
		"no recipient": created(t, 0), "a recipient twice": created(t, 0, to(5), to(5)), "out of order": created(t, 0, to(5), to(4)),
		"a number below 1": created(t, 0, to(0)), "a patient's number below 1": created(t, 0, to(1, 0)),
	} {
		if got, err := inboxrows.Of(e); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
