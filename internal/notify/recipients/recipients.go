// Package recipients gives the recipients of a chunk's alerts. Their order is that of their
// portal user numbers, and the place of a recipient in it, from 0, is the recipient's
// position: requests to SendGrid, app.attempts and SendGrid's reports name recipients by it.
package recipients

import (
	"fmt"

	"postern/internal/directory/block"
)

// Blocks is a part of a query: it joins each row of record.chunks, named c, with the rows of
// record.inbox that are its recipients, as i (block, members). In order of block they have
// the recipients in order of position.
//
// OFFSET 0 makes each chunk a look-up in the primary key of record.inbox: otherwise Postgres
// may read the rows of all messages, because right after a blast it has no statistics of it.
const Blocks = `
	CROSS JOIN LATERAL (
	    SELECT block, members FROM record.inbox
	    WHERE message_id = c.message_id AND chunk = c.chunk
	      AND block BETWEEN record.block_of(c.first_no) AND record.block_of(c.last_no) OFFSET 0) i `

// Append appends the portal user numbers of a block's members, from their stored form.
func Append(nos []int32, b block.No, stored []byte) ([]int32, error) {
	members, err := block.Parse(stored)
	if err != nil {
		return nil, fmt.Errorf("reading block %d of the inbox: %w", b, err)
	}
	for place := range members.All() {
		nos = append(nos, b.At(place))
	}
	return nos, nil
}
