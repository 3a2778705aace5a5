// Package authority says on whose account portal users got a message: the patients to whom
// they had a link in force when the audience was frozen.
package authority

import (
	"errors"
	"fmt"

	"postern/internal/directory/block"
)

// A List has the patients of each member of a block, in the order of the members: the numbers
// of the patients, ascending and from 1, and then a 0. It is the stored form, see
// record.inbox.
type List []int32

// End ends the patients of a member.
func (l List) End() List { return append(l, 0) }

// Of returns the patients of the member with so many members before it. It is empty for a
// member without a link. The result shares memory with the list.
func (l List) Of(rank int) []int32 {
	start := 0
	for i, no := range l {
		switch {
		case no != 0:
		case rank == 0:
			return l[start:i:i]
		default:
			rank--
			start = i + 1
		}
	}
	return nil
}

// ErrNone says that a list has no entry for a portal user.
var ErrNone = errors.New("there is no such delivery")

// At returns the patients of the portal user at a place of the block. The list is about
// members, in their stored form. The error wraps [ErrNone] if the portal user is no member or
// the list is too short, because no patients at all mean that every link may read the message.
func (l List) At(members []byte, place int) ([]int32, error) {
	all, err := block.Parse(members)
	if err != nil {
		return nil, fmt.Errorf("reading who has a message: %w", err)
	}
	patients := l.Of(all.Rank(place))
	if !all.Has(place) || patients == nil {
		return nil, fmt.Errorf("place %d: %w", place, ErrNone)
	}
	return patients, nil
}
