package project

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// inboxRow is a row of record.inbox, with the numbers of its portal users.
type inboxRow struct {
	Block, Part, Chunk int
	To, Patients       []int32
	Opened             int
}

// The deliveries of a message are a row for each block. A chunk that begins within a block has
// a row of its own there, and its members can't have the message already. Openings are counted
// on the row with the delivery, if there is one before them. All of this is the same in one
// batch and in several.
func TestDeliveriesAreRowsOfTheInbox(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	m := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	chunk := func(index int, nos ...int32) events.Body { return recordertest.Chunk(m, index, nos...) }
	opened := func(no int32) events.Body {
		return events.DeliveryOpened{MessageID: m, PortalUserID: fmt.Sprint("pu-", no), PortalUserNo: no}
	}
	var all, patients []int32 // of a block
	for no := int32(251); no <= 500; no++ {
		all, patients = append(all, no), append(patients, no, 0)
	}
	for _, c := range []struct {
		name   string
		story  []events.Body
		want   []inboxRow
		parked string // the reason
	}{
		{"one portal user", []events.Body{chunk(0, 7)}, []inboxRow{{0, 0, 0, []int32{7}, []int32{7, 0}, 0}}, ""},
		{"a whole block", []events.Body{chunk(0, all...)}, []inboxRow{{1, 0, 0, all, patients, 0}}, ""},
		{"a chunk of several blocks", []events.Body{chunk(0, 1, 250, 251, 1000)}, []inboxRow{
			{0, 0, 0, []int32{1, 250}, []int32{1, 0, 250, 0}, 0}, {1, 0, 0, []int32{251}, []int32{251, 0}, 0}, {3, 0, 0, []int32{1000}, []int32{1000, 0}, 0}}, ""},
		{"a chunk that begins with a block", []events.Body{chunk(0, 1, 2), chunk(1, 251, 501)}, []inboxRow{
			{0, 0, 0, []int32{1, 2}, []int32{1, 0, 2, 0}, 0}, {1, 1, 1, []int32{251}, []int32{251, 0}, 0}, {2, 0, 1, []int32{501}, []int32{501, 0}, 0}}, ""},
		{"a chunk that begins within a block", []events.Body{chunk(0, 1, 249), chunk(1, 250, 251)}, []inboxRow{
			{0, 0, 0, []int32{1, 249}, []int32{1, 0, 249, 0}, 0}, {0, 1, 1, []int32{250}, []int32{250, 0}, 0}, {1, 0, 1, []int32{251}, []int32{251, 0}, 0}}, ""},
		{"three chunks in a block", []events.Body{chunk(0, 1), chunk(1, 2), chunk(2, 3)}, []inboxRow{
			{0, 0, 0, []int32{1}, []int32{1, 0}, 0}, {0, 1, 1, []int32{2}, []int32{2, 0}, 0}, {0, 2, 2, []int32{3}, []int32{3, 0}, 0}}, ""},
		{"a chunk of which a portal user has the message already", []events.Body{chunk(0, 1, 2), chunk(1, 2, 3, 251)}, []inboxRow{
			{0, 0, 0, []int32{1, 2}, []int32{1, 0, 2, 0}, 0}}, "a portal user of block 0 has the message already"},
		{"a chunk with a block that another has", []events.Body{chunk(0, 1, 251), chunk(1, 2, 251)}, []inboxRow{
			{0, 0, 0, []int32{1}, []int32{1, 0}, 0}, {1, 0, 0, []int32{251}, []int32{251, 0}, 0}}, "a portal user of block 1 has the message already"},
		{"openings", []events.Body{chunk(0, 1, 2, 251), opened(2), chunk(1, 252, 501), opened(252), opened(251), opened(1)}, []inboxRow{
			{0, 0, 0, []int32{1, 2}, []int32{1, 0, 2, 0}, 2}, {1, 0, 0, []int32{251}, []int32{251, 0}, 1}, {1, 1, 1, []int32{252}, []int32{252, 0}, 1}, {2, 0, 1, []int32{501}, []int32{501, 0}, 0}}, ""},
		{"openings without a delivery", []events.Body{chunk(0, 1, 2, 3), opened(4), opened(601)}, []inboxRow{
			{0, 0, 0, []int32{1, 2, 3}, []int32{1, 0, 2, 0, 3, 0}, 0}}, ""},
		{"an opening before the delivery", []events.Body{chunk(0, 1), opened(2), chunk(1, 2)}, []inboxRow{
			{0, 0, 0, []int32{1}, []int32{1, 0}, 0}, {0, 1, 1, []int32{2}, []int32{2, 0}, 0}}, ""},
	} {
		for how, runs := range map[string][]int{"one by one": nil, "in one batch": {100}, "in two batches": {2, 100}} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				tx, err := conn.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback(t.Context()) }()
				project(t, tx, recordertest.Facts(t, append([]events.Body{recordertest.SentTo(m, events.HoldNone)}, c.story...)...), runs...)
				rows, err := tx.Query(t.Context(), `SELECT block, part, chunk, ARRAY(SELECT record.portal_users_of(block, members)), patients, opened
					FROM inbox WHERE message_id = $1 ORDER BY block, part`, m)
				if err != nil {
					t.Fatal(err)
				}
				got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[inboxRow])
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				var reason string
				if err := tx.QueryRow(t.Context(), `SELECT coalesce(string_agg(reason, '; '), '') FROM app.parked`).Scan(&reason); err != nil {
					t.Fatal(err)
				}
				if (reason == "") != (c.parked == "") || !strings.Contains(reason, c.parked) {
					t.Errorf("parked because %q, want %q", reason, c.parked)
				}
			})
		}
	}
}
