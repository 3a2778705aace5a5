package messages

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Rows of other tables for deliveries, by ranges of portal user numbers: $1 are the lowest and
// $2 the highest numbers of the ranges. $3 is the message.
const (
	selectExceptions = `
	SELECT x.* FROM unnest($1::integer[], $2::integer[]) AS r (low, high) CROSS JOIN LATERAL (
	    SELECT portal_user_no, state, reason, attempt, at FROM record.alert_exceptions
	    WHERE message_id = $3 AND portal_user_no BETWEEN r.low AND r.high OFFSET 0) x`

	selectOpens = `
	SELECT o.* FROM unnest($1::integer[], $2::integer[]) AS r (low, high) CROSS JOIN LATERAL (
	    SELECT portal_user_no, opened_at FROM record.opens
	    WHERE message_id = $3 AND portal_user_no BETWEEN r.low AND r.high OFFSET 0) o`

	// $3 is a query for words, NULL for any name.
	selectNames = `
	SELECT u.* FROM unnest($1::integer[], $2::integer[]) AS r (low, high) CROSS JOIN LATERAL (
	    SELECT portal_user_no, portal_user_id, name FROM app.portal_users
	    WHERE portal_user_no BETWEEN r.low AND r.high AND ($3::text IS NULL OR words @@ $3::text::tsquery) OFFSET 0) u`
)

// exceptions gives deliveries the state of their alert where it differs from the chunk's.
func (w walk) exceptions(found []Delivery) error {
	var a alert
	return w.attach(found, selectExceptions, w.message, []any{&a.state, &a.reason, &a.attempt, &a.at}, func(d *Delivery) { d.setAlert(a) })
}

// opens gives deliveries the time at which they were opened.
func (w walk) opens(found []Delivery) error {
	var at time.Time
	return w.attach(found, selectOpens, w.message, []any{&at}, func(d *Delivery) { d.OpenedAt = utc(&at) })
}

// named gives deliveries the portal user's name, and leaves out those without the words in it;
// nil is any name. It also leaves out portal users whom the directory does not have, because an older backup of
// it was restored.
func (s *snapshot) named(found []Delivery, words *string) ([]Delivery, error) {
	var id, name string
	err := s.attach(found, selectNames, words, []any{&id, &name}, func(d *Delivery) { d.PortalUserID, d.Name = id, name })
	return slices.DeleteFunc(found, func(d Delivery) bool { return d.PortalUserID == "" }), err
}

// attach reads rows for deliveries, which are in order of portal user number. It scans each row
// into values, and calls set with the row's delivery.
func (s *snapshot) attach(found []Delivery, query string, arg any, values []any, set func(*Delivery)) error {
	if len(found) == 0 {
		return nil
	}
	low, high := ranges(func(yield func(int32) bool) {
		for i := 0; i < len(found) && yield(found[i].PortalUserNo); i++ {
		}
	})
	rows, err := s.tx.Query(s.ctx, query, planned, low, high, arg)
	if err != nil {
		return err
	}
	var no int32
	_, err = pgx.ForEachRow(rows, append([]any{&no}, values...), func() error {
		if i, is := slices.BinarySearchFunc(found, no, func(d Delivery, no int32) int { return cmp.Compare(d.PortalUserNo, no) }); is {
			set(&found[i])
		}
		return nil
	})
	return err
}

// numbersOf returns the portal users of the rows, in ascending order.
func numbersOf(rows []row) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, r := range rows {
			for at := range r.members.All() {
				if !yield(r.block.At(at)) {
					return
				}
			}
		}
	}
}

// near is the distance of two numbers up to which one range has both: to look for the start of
// a range costs as much as to read some ten rows.
const near = 10

// ranges returns ranges that have all of some ascending numbers, and few others.
func ranges(numbers iter.Seq[int32]) (low, high []int32) {
	last := -1
	for no := range numbers {
		if last < 0 || no-high[last] > near {
			low, high = append(low, no), append(high, no)
			last++
		}
		high[last] = no
	}
	return low, high
}
