package messages

import (
	"cmp"
	"slices"

	"postern/internal/directory/block"
	"postern/internal/events"
)

// Filter chooses deliveries; its zero value chooses all.
type Filter struct {
	Alert  events.AlertState // "": any
	Reason string            // of the alert's state, word for word; "": any. It needs Alert
	Opened *bool             // nil: either
}

// NoAddress chooses deliveries whose alert was skipped because the portal user has no e-mail
// address.
var NoAddress = Filter{Alert: events.AlertSkipped, Reason: "no e-mail address"}

// matching returns the deliveries of the rows that match the filter. It changes the rows.
func (w walk) matching(rows []row) (found []Delivery, err error) {
	if w.filter.Alert != "" {
		if err := w.byAlert(rows); err != nil {
			return nil, err
		}
	}
	if w.filter.Opened != nil {
		if err := w.byOpening(rows, *w.filter.Opened); err != nil {
			return nil, err
		}
	}
	for _, r := range rows {
		d := Delivery{DeliveredAt: r.deliveredAt.UTC()}
		d.setAlert(r.alert)
		for at := range r.members.All() {
			d.PortalUserNo = r.block.At(at)
			found = append(found, d)
		}
	}
	return found, nil
}

// byAlert keeps the members whose alert is in the filter's state.
func (w walk) byAlert(rows []row) error {
	low, high := ranges(numbersOf(rows))
	var in, others []int32
	if err := w.tx.QueryRow(w.ctx, `
		SELECT array_agg(no) FILTER (WHERE matches), array_agg(no) FILTER (WHERE NOT matches)
		FROM unnest($1::integer[], $2::integer[]) AS r (low, high) CROSS JOIN LATERAL (
		    SELECT portal_user_no AS no, state = $4 AND $5 IN ('', reason) AS matches FROM record.alert_exceptions
		    WHERE message_id = $3 AND portal_user_no BETWEEN r.low AND r.high OFFSET 0) x`,
		planned, low, high, w.message, string(w.filter.Alert), w.filter.Reason).Scan(&in, &others); err != nil {
		return err
	}
	keep(rows, func(r row) bool {
		return r.alert.state == string(w.filter.Alert) && (w.filter.Reason == "" || r.alert.reason == w.filter.Reason)
	}, in, others)
	return nil
}

// byOpening keeps the members who have opened the message, or those who have not.
func (w walk) byOpening(rows []row, wanted bool) error {
	low, high := ranges(numbersOf(rows))
	var opened []int32
	if err := w.tx.QueryRow(w.ctx, `
		SELECT array_agg(no)
		FROM unnest($1::integer[], $2::integer[]) AS r (low, high) CROSS JOIN LATERAL (
		    SELECT portal_user_no AS no FROM record.opens
		    WHERE message_id = $3 AND portal_user_no BETWEEN r.low AND r.high OFFSET 0) o`,
		planned, low, high, w.message).Scan(&opened); err != nil {
		return err
	}
	if wanted {
		keep(rows, none, opened, nil)
	} else {
		keep(rows, all, nil, opened)
	}
	return nil
}

// keep keeps the members of the rows that whole chooses, except those in without, and of the
// other rows the members in with.
func keep(rows []row, whole func(row) bool, with, without []int32) {
	kept := make([]block.Members, len(rows))
	for i, r := range rows {
		if whole(r) {
			kept[i] = r.members
		}
	}
	for _, no := range without {
		if i, at, found := find(rows, no); found {
			kept[i].Remove(at)
		}
	}
	for _, no := range with {
		if i, at, found := find(rows, no); found {
			kept[i].Add(at)
		}
	}
	for i := range rows {
		rows[i].members = kept[i]
	}
}

func all(row) bool  { return true }
func none(row) bool { return false }

// find finds the row with a portal user among its members, and the place of the portal user.
func find(rows []row, no int32) (i, at int, found bool) {
	b, at := block.Of(no)
	i, _ = slices.BinarySearchFunc(rows, b, func(r row, b block.No) int { return cmp.Compare(r.block, b) })
	for ; i < len(rows) && rows[i].block == b; i++ {
		if rows[i].members.Has(at) {
			return i, at, true
		}
	}
	return 0, 0, false
}
