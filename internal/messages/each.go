package messages

import (
	"context"
	"math"
)

// perBatch is how many deliveries [Reader.EachRecipient] holds in memory.
const perBatch = 2000

// EachRecipient calls each with all deliveries that the pages of [Reader.Recipients] have, in
// batches. It stops at the first error of each.
func (rd *Reader) EachRecipient(ctx context.Context, m Message, f Filter, name string, each func([]Delivery) error) error {
	if name = searchable(name); name == "" {
		return rd.eachDelivery(ctx, m, f, each)
	}
	var named []int32
	var rare bool
	err := rd.searching(ctx, m, f, name, func(s *nameSearch) (err error) {
		named, rare, err = s.inDirectory()
		return err
	})
	for after, more := int32(0), true; err == nil && more; {
		var batch []Delivery
		// One transaction for each batch, so that a slow reader does not hold back VACUUM.
		err = rd.searching(ctx, m, f, name, func(s *nameSearch) (err error) {
			if rare {
				batch, err = s.among(named)
				more = false
			} else {
				batch, after, err = s.alongDeliveries(after, math.MaxInt)
				more = after > 0
			}
			if err != nil {
				return err
			}
			batch, err = s.complete(batch)
			return err
		})
		if err == nil && len(batch) > 0 {
			err = each(batch)
		}
	}
	return err
}

func (rd *Reader) eachDelivery(ctx context.Context, m Message, f Filter, each func([]Delivery) error) error {
	for after := int32(0); ; {
		batch, err := rd.Deliveries(ctx, m.ID, f, after, perBatch)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := each(batch); err != nil || len(batch) < perBatch {
			return err
		}
		after = batch[len(batch)-1].PortalUserNo
	}
}
