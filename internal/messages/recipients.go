package messages

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/text/folding"
)

// Recipients is a page of the deliveries of a message.
type Recipients struct {
	Deliveries []Delivery
	// Next is the portal user number after which the next page starts; 0 at the end.
	Next int32
	// Partly reports that the search stopped before the page was full, because it reached
	// the limit of deliveries to look at: there may be more.
	Partly bool
}

const (
	// maxRare is the most portal users that may match a rare name, which is looked up in
	// the directory.
	maxRare = 2000
	// maxScan is how many deliveries are searched for a name, firstScan of them in the
	// first step.
	maxScan   = 1000
	firstScan = 250
)

// Recipients returns up to limit deliveries of a message with portal user numbers above
// after, in order of number, that match the filter and whose recipient's name has a word
// beginning with each word of name. It looks at a few thousand deliveries at most, for any
// name and any size of message.
func (rd *Reader) Recipients(ctx context.Context, m Message, f Filter, name string, after int32, limit int) (r Recipients, err error) {
	if name = searchable(name); name == "" {
		r.Deliveries, err = rd.Deliveries(ctx, m.ID, f, after, limit+1)
		if len(r.Deliveries) > limit {
			r.Deliveries = r.Deliveries[:limit]
			r.Next = r.Deliveries[limit-1].PortalUserNo
		}
		return r, err
	}
	err = rd.searching(ctx, m, f, name, func(s *nameSearch) error {
		r, err = s.page(after, limit)
		return err
	})
	return r, err
}

// maxName is the number of characters of a searched name that are used.
const maxName = 100

func searchable(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", " "), "")
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxName {
		text = string(runes[:maxName])
	}
	return text
}

// nameSearch is a search for recipients of a message by name.
type nameSearch struct {
	ctx     context.Context
	tx      pgx.Tx
	message uuid.UUID
	filter  Filter
	name    string // from folding.Query
}

// searching calls do with a search whose queries read one snapshot.
func (rd *Reader) searching(ctx context.Context, m Message, f Filter, name string, do func(*nameSearch) error) error {
	err := pgx.BeginTxFunc(ctx, rd.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, alongIndexes); err != nil {
			return err
		}
		return do(&nameSearch{ctx, tx, m.ID, f, folding.Query(name)})
	})
	if err != nil {
		return fmt.Errorf("looking for recipients of message %s: %w", m.ID, err)
	}
	return nil
}

// page searches the next deliveries, in which a common name soon fills a page. If it does
// not, and the name is rare, page looks the name up in the directory.
func (s *nameSearch) page(after int32, limit int) (r Recipients, err error) {
	found, next, err := s.alongDeliveries(after, limit)
	if err != nil {
		return r, err
	}
	if r.Next, r.Partly = next, next > 0; r.Partly && len(found) <= limit {
		named, rare, err := s.named()
		if err != nil {
			return r, err
		}
		if rare {
			if found, err = s.received(named, after, limit+1); err != nil {
				return r, err
			}
			r.Next, r.Partly = 0, false
		}
	}
	if len(found) > limit {
		found = found[:limit]
		r.Next, r.Partly = found[limit-1], false
	}
	r.Deliveries, err = s.deliveries(found)
	return r, err
}

// alongDeliveries searches the deliveries that match the filter, in growing steps, until it
// has found more than limit or has looked at maxScan. next is the number after which to
// continue, 0 at the end.
func (s *nameSearch) alongDeliveries(after int32, limit int) (found []int32, next int32, err error) {
	for looked, step := 0, firstScan; looked < maxScan && len(found) <= limit; looked, step = looked+step, maxScan-firstScan {
		numbers, err := s.numbers(s.filter.numbers(), s.filter.args(s.message, after, step+1)...)
		if err != nil {
			return nil, 0, err
		}
		atEnd := len(numbers) <= step
		numbers = numbers[:min(len(numbers), step)]
		named, err := s.numbers(`
			SELECT wanted.no
			FROM unnest($1::integer[]) WITH ORDINALITY AS wanted (no, place)
			CROSS JOIN LATERAL (
			    SELECT FROM app.portal_users u
			    WHERE u.portal_user_no = wanted.no AND u.words @@ $2::text::tsquery LIMIT 1) u
			ORDER BY wanted.place`, numbers, s.name)
		if err != nil {
			return nil, 0, err
		}
		found = append(found, named...)
		if atEnd {
			return found, 0, nil
		}
		after = numbers[step-1]
	}
	return found, after, nil
}

// named returns the portal users with the name, and whether they are at most maxRare.
func (s *nameSearch) named() (numbers []int32, rare bool, err error) {
	// Only the index of words finds them, and it needs a bitmap scan.
	if _, err := s.tx.Exec(s.ctx, `SET LOCAL enable_bitmapscan = on`); err != nil {
		return nil, false, err
	}
	numbers, err = s.numbers(`
		SELECT portal_user_no FROM app.portal_users WHERE words @@ $1::text::tsquery LIMIT $2`, s.name, maxRare+1)
	if err != nil {
		return nil, false, err
	}
	if _, err := s.tx.Exec(s.ctx, `SET LOCAL enable_bitmapscan = off`); err != nil {
		return nil, false, err
	}
	slices.Sort(numbers)
	return numbers, len(numbers) <= maxRare, nil
}

// received returns those of the portal users who received the message and match the filter.
func (s *nameSearch) received(named []int32, after int32, limit int) ([]int32, error) {
	return s.numbers(`
		SELECT wanted.no
		FROM unnest($2::integer[]) WITH ORDINALITY AS wanted (no, place)`+partByPart+`
		WHERE wanted.no > $3 AND ($4 = '' OR coalesce(x.state, c.alert_state) = $4)
		  AND ($5::boolean IS NULL OR (o.opened_at IS NOT NULL) = $5)
		  AND ($7 = '' OR coalesce(x.reason, c.alert_reason) = $7)
		ORDER BY wanted.place LIMIT $6`, s.message, named, after, string(s.filter.Alert), s.filter.Opened, limit, s.filter.Reason)
}

func (s *nameSearch) numbers(query string, args ...any) ([]int32, error) {
	rows, err := s.tx.Query(s.ctx, query, append([]any{planned}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int32])
}

func (s *nameSearch) deliveries(numbers []int32) ([]Delivery, error) {
	rows, err := s.tx.Query(s.ctx, selectDeliveries, planned, s.message, numbers)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanDelivery)
}
