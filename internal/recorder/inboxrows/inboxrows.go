// Package inboxrows has the rows of record.inbox that a deliveries.created event gives: one
// for each block of portal users. No part of it does I/O.
package inboxrows

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/inbox/authority"
)

// A Key names a chunk of a message's deliveries.
type Key struct {
	Message uuid.UUID
	Chunk   int
}

// A Row is a row of record.inbox: the deliveries of a message to one block.
type Row struct {
	Block block.No
	// Part is 0 for the only row of a message and a block. Only the first block of a chunk of
	// the first format, which may have begun in the chunk before, has the chunk's number.
	Part    int
	Members block.Members
	// Authority is that of the members, in order, or nil if it follows from the roster and the
	// day.
	Authority authority.List
	Roster    []byte // the root of the block's roster, nil if the event cites none
	Day       time.Time
}

// A Chunk is what a deliveries.created event says, as rows.
type Chunk struct {
	Key
	FirstNo, LastNo int32 // the lowest and highest number of a portal user
	Deliveries      int   // at least 1
	Rows            []Row // in order of block
}

// Of gives the rows of a deliveries.created event. It fails if the event's headers and body
// disagree, or if its recipients are missing or out of order.
func Of(e *events.Event) (*Chunk, error) {
	if e.Chunk == nil {
		return nil, errors.New("the headers name no chunk")
	}
	c := &Chunk{}
	var err error
	if e.IsByBlock() {
		err = c.cite(e)
	} else if c.Message, c.Chunk, err = events.ScanChunk(e.Data, c.add); err == nil && len(c.Rows) > 0 {
		c.Rows[0].Part = c.Chunk
	}
	switch {
	case err != nil:
		return nil, err
	case c.Message != e.MessageID || c.Chunk != e.Chunk.Index:
		return nil, errors.New("the headers name another message or chunk than the body")
	case c.Deliveries == 0:
		return nil, errors.New("the chunk is empty")
	}
	return c, nil
}

// Nos returns the numbers of the recipients, in order.
func (c *Chunk) Nos() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range c.Rows {
			for place := range c.Rows[i].Members.All() {
				if !yield(c.Rows[i].Block.At(place)) {
					return
				}
			}
		}
	}
}

// cite adds the rows of an event that cites rosters.
func (c *Chunk) cite(e *events.Event) error {
	body, err := events.Decode[events.DeliveriesByBlock](*e)
	if err != nil {
		return err
	}
	if e.PublicLength == 0 {
		return errors.New("the headers do not name the parts of the body")
	}
	c.Key = Key{body.MessageID, body.Chunk}
	for i := range body.Blocks {
		b := &body.Blocks[i]
		c.Rows = append(c.Rows, Row{Block: b.No, Members: b.Members, Roster: b.Roster[:], Day: body.Day})
		for place := range b.Members.All() {
			no := b.No.At(place)
			if no < 1 {
				return fmt.Errorf("no portal user can be at place %d of block %d", place, b.No)
			}
			if c.Deliveries == 0 {
				c.FirstNo = no
			}
			c.LastNo = no
			c.Deliveries++
		}
	}
	return nil
}

// Columns are the columns of record.inbox that an event gives.
var Columns = []string{"message_id", "block", "part", "chunk", "members", "patients", "roster", "day"}

// Values are the values of a row's [Columns].
func (c *Chunk) Values(row Row) []any {
	var day *time.Time
	if row.Roster != nil {
		day = &row.Day
	}
	return []any{c.Message, int32(row.Block), row.Part, c.Chunk, row.Members.AppendTo(nil), []int32(row.Authority), row.Roster, day}
}

func (c *Chunk) add(r *events.Recipient) error {
	if r.PortalUserNo <= c.LastNo {
		return fmt.Errorf("recipient %d of the chunk is out of order", c.Deliveries)
	}
	b, place := block.Of(r.PortalUserNo)
	if len(c.Rows) == 0 || c.Rows[len(c.Rows)-1].Block != b {
		c.Rows = append(c.Rows, Row{Block: b})
	}
	row := &c.Rows[len(c.Rows)-1]
	row.Members.Add(place)
	for i := range r.Links {
		if r.Links[i].PatientNo < 1 {
			return fmt.Errorf("recipient %d of the chunk has a patient number below 1", c.Deliveries)
		}
		row.Authority = append(row.Authority, r.Links[i].PatientNo)
	}
	row.Authority = row.Authority.End()
	if c.Deliveries == 0 {
		c.FirstNo = r.PortalUserNo
	}
	c.LastNo = r.PortalUserNo
	c.Deliveries++
	return nil
}
