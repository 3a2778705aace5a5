package messages

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
// beginning with each word of name. For a name, it looks at a few thousand deliveries that
// match the filter at most.
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
	walk
	name string // from folding.Query
}

// searching calls do with a search whose queries read one snapshot.
func (rd *Reader) searching(ctx context.Context, m Message, f Filter, name string, do func(*nameSearch) error) error {
	err := rd.reading(ctx, func(s *snapshot) error {
		return do(&nameSearch{walk{s, m.ID, f}, folding.Query(name)})
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
		named, rare, err := s.inDirectory()
		if err != nil {
			return r, err
		}
		if rare {
			if found, err = s.among(above(named, after)); err != nil {
				return r, err
			}
			r.Next, r.Partly = 0, false
		}
	}
	if len(found) > limit {
		found = found[:limit]
		r.Next, r.Partly = found[limit-1].PortalUserNo, false
	}
	r.Deliveries, err = s.complete(found)
	return r, err
}

// above returns those of ascending numbers that are above after.
func above(numbers []int32, after int32) []int32 {
	i, found := slices.BinarySearch(numbers, after)
	if found {
		i++
	}
	return numbers[i:]
}

// alongDeliveries searches the deliveries that match the filter, in growing steps, until it
// has found more than limit or has looked at maxScan. next is the number after which to
// continue, 0 at the end.
func (s *nameSearch) alongDeliveries(after int32, limit int) (found []Delivery, next int32, err error) {
	for looked, step := 0, firstScan; looked < maxScan && len(found) <= limit; looked, step = looked+step, maxScan-firstScan {
		some, err := s.next(after, step+1)
		if err != nil {
			return nil, 0, err
		}
		after = 0
		if len(some) > step {
			after = some[step-1].PortalUserNo
		}
		some, err = s.named(some[:min(len(some), step)], &s.name)
		if err != nil {
			return nil, 0, err
		}
		if found = append(found, some...); after == 0 {
			break
		}
	}
	return found, after, nil
}

// inDirectory returns the portal users with the name, and whether they are at most maxRare.
func (s *nameSearch) inDirectory() (numbers []int32, rare bool, err error) {
	// Only the index of words finds them, and it needs a bitmap scan.
	if _, err := s.tx.Exec(s.ctx, `SET LOCAL enable_bitmapscan = on`); err != nil {
		return nil, false, err
	}
	rows, err := s.tx.Query(s.ctx, `
		SELECT portal_user_no FROM app.portal_users WHERE words @@ $1::text::tsquery LIMIT $2`, planned, s.name, maxRare+1)
	if err != nil {
		return nil, false, err
	}
	if numbers, err = pgx.CollectRows(rows, pgx.RowTo[int32]); err != nil {
		return nil, false, err
	}
	if _, err := s.tx.Exec(s.ctx, `SET LOCAL enable_bitmapscan = off`); err != nil {
		return nil, false, err
	}
	slices.Sort(numbers)
	return numbers, len(numbers) <= maxRare, nil
}
