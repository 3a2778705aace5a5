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
	// Next is the portal user number after which to go on; 0 where this is the end.
	Next int32
	// Partly says that the page ends because enough were looked at, and not because
	// it is full: there may be more.
	Partly bool
}

const (
	// rare is how many portal users a name may fit that is looked up by itself.
	rare = 2000
	// walk is how many deliveries are looked through for a name, stride of them first.
	walk   = 1000
	stride = 250
)

// Recipients gives up to limit deliveries of a message with portal user numbers
// above after, in order of number: those that the filter chooses and whose name
// has a word beginning with each word of name. However many have such a name and
// however large the message is, it looks at a few thousand of them at most.
func (t *Reader) Recipients(ctx context.Context, m Message, f Filter, name string, after int32, limit int) (r Recipients, err error) {
	if name = searchable(name); name == "" {
		r.Deliveries, err = t.Deliveries(ctx, m.ID, f, after, limit+1)
		if len(r.Deliveries) > limit {
			r.Deliveries = r.Deliveries[:limit]
			r.Next = r.Deliveries[limit-1].PortalUserNo
		}
		return r, err
	}
	err = t.searching(ctx, m, f, name, func(s *nameSearch) error {
		r, err = s.page(after, limit)
		return err
	})
	return r, err
}

// longestName is how many characters of what is searched for count.
const longestName = 100

func searchable(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", " "), "")
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > longestName {
		text = string(runes[:longestName])
	}
	return text
}

// nameSearch is a search for recipients of a message by name.
type nameSearch struct {
	ctx     context.Context
	tx      pgx.Tx
	message uuid.UUID
	filter  Filter
	name    string // as folding.Query has it
}

// searching calls do with a search, whose queries see the same.
func (t *Reader) searching(ctx context.Context, m Message, f Filter, name string, do func(*nameSearch) error) error {
	err := pgx.BeginTxFunc(ctx, t.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
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

// page looks through the next deliveries, in which a common name soon fills a page;
// where it does not, the name may be so rare that it is looked up by itself.
func (s *nameSearch) page(after int32, limit int) (r Recipients, err error) {
	found, next, err := s.alongDeliveries(after, limit)
	if err != nil {
		return r, err
	}
	if r.Next, r.Partly = next, next > 0; r.Partly && len(found) <= limit {
		called, few, err := s.called()
		if err != nil {
			return r, err
		}
		if few {
			if found, err = s.amongCalled(called, after, limit+1); err != nil {
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

// alongDeliveries looks through the deliveries that the filter chooses, in steps that
// grow, until it has found more than limit or has looked at enough. Next is where to
// go on, 0 at the end.
func (s *nameSearch) alongDeliveries(after int32, limit int) (found []int32, next int32, err error) {
	for looked, step := 0, stride; looked < walk && len(found) <= limit; looked, step = looked+step, walk-stride {
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

// called gives all portal users who are called so, if they are few.
func (s *nameSearch) called() (numbers []int32, few bool, err error) {
	// Only an index of words finds them, and only by way of a bitmap.
	if _, err := s.tx.Exec(s.ctx, `SET LOCAL enable_bitmapscan = on`); err != nil {
		return nil, false, err
	}
	numbers, err = s.numbers(`
		SELECT portal_user_no FROM app.portal_users WHERE words @@ $1::text::tsquery LIMIT $2`, s.name, rare+1)
	if err != nil {
		return nil, false, err
	}
	if _, err := s.tx.Exec(s.ctx, `SET LOCAL enable_bitmapscan = off`); err != nil {
		return nil, false, err
	}
	slices.Sort(numbers)
	return numbers, len(numbers) <= rare, nil
}

// amongCalled gives which of the portal users got the message, as the filter wants.
func (s *nameSearch) amongCalled(called []int32, after int32, limit int) ([]int32, error) {
	return s.numbers(`
		SELECT wanted.no
		FROM unnest($2::integer[]) WITH ORDINALITY AS wanted (no, place)`+partByPart+`
		WHERE wanted.no > $3 AND ($4 = '' OR coalesce(x.state, c.alert_state) = $4)
		  AND ($5::boolean IS NULL OR (o.opened_at IS NOT NULL) = $5)
		  AND ($7 = '' OR coalesce(x.reason, c.alert_reason) = $7)
		ORDER BY wanted.place LIMIT $6`, s.message, called, after, string(s.filter.Alert), s.filter.Opened, limit, s.filter.Reason)
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
