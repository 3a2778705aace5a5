// Package delivered gives the recipients of a deliveries.created event. Version 1 of the event
// names them. Version 2 cites rosters of the directory, which are read from Postgres.
package delivered

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/matter"
	"postern/internal/directory/audience/rule"
	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/events"
	"postern/internal/proof/merkle"
)

// Each calls each with every recipient of an event, in order of number, or, if wanted is not
// nil, with those whose number it returns true for. Only the rosters of their blocks are read. It
// stops at the first error that each returns. The recipient's Links are reused for the next call.
// Errors wrap [cited.ErrDamaged] if a cited roster is missing or was changed.
func Each(ctx context.Context, q cited.Querier, e *events.Event, wanted func(no int32) bool, each func(*events.Recipient) error) error {
	return visit(ctx, q, e, wanted, func(r *events.Recipient, _ *roster.Person) error { return each(r) })
}

// EachMatter is [Each], with whose matter the message to each recipient is.
func EachMatter(ctx context.Context, q Database, e *events.Event, wanted func(no int32) bool, each func(*events.Recipient, matter.Matter) error) error {
	said, err := stated(ctx, q, e.MessageID)
	if err != nil {
		return err
	}
	day := int32(0)
	if e.IsByBlock() {
		body, err := events.Decode[events.DeliveriesByBlock](*e)
		if err != nil {
			return err
		}
		day = field.Day(body.Day)
	}
	return visit(ctx, q, e, wanted, func(r *events.Recipient, p *roster.Person) error {
		if p != nil {
			return each(r, said.OfPerson(p, day))
		}
		inForce := make([]rule.Tie, len(r.Links))
		for i, l := range r.Links {
			inForce[i] = rule.Tie{No: l.PatientNo, ID: l.PatientID, Relationship: l.Relationship}
		}
		return each(r, said.OfChosen(r.PortalUserID, inForce))
	})
}

// Matters returns whose matter the message to some of its recipients is, by their numbers. Errors wrap
// [cited.ErrDamaged] if a cited roster is missing or was changed.
func Matters(ctx context.Context, q Database, message uuid.UUID, nos []int32) (map[int32]matter.Matter, error) {
	rows, err := q.Query(ctx, `SELECT e.seq, e.stored FROM record.chunks c JOIN record.events e ON e.seq = c.seq
		WHERE c.message_id = $1 AND EXISTS (SELECT FROM unnest($2::integer[]) no WHERE no BETWEEN c.first_no AND c.last_no) ORDER BY e.seq`, message, nos)
	if err != nil {
		return nil, fmt.Errorf("reading the deliveries of message %s: %w", message, err)
	}
	var chunks []events.Event
	var seq int64
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error {
		s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
		if err != nil {
			return err
		}
		e, err := events.Parse(s.Header, s.Data)
		if err == nil && e.MessageID == message { // of a row that names another event nothing is known; `postern verify` reports it
			chunks = append(chunks, e)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the deliveries of message %s: %w", message, err)
	}
	found, wanted := map[int32]matter.Matter{}, make(map[int32]bool, len(nos))
	for _, no := range nos {
		wanted[no] = true
	}
	for i := range chunks {
		err := EachMatter(ctx, q, &chunks[i], func(no int32) bool { return wanted[no] }, func(r *events.Recipient, m matter.Matter) error {
			found[r.PortalUserNo] = m
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading whom message %s concerns: %w", message, err)
		}
	}
	return found, nil
}

// stated reads what a message states about whom it concerns.
func stated(ctx context.Context, q Database, message uuid.UUID) (matter.Statement, error) {
	var to events.Selection
	if err := q.QueryRow(ctx, `SELECT recipients FROM record.messages WHERE message_id = $1`, message).Scan(&to); err != nil {
		return matter.Statement{}, fmt.Errorf("reading the recipients of message %s: %w", message, err)
	}
	return statement(to.About != nil, to.About, to.Groups)
}

// visit calls each with the recipients and, where the event cites rosters, what the roster says of each.
func visit(ctx context.Context, q cited.Querier, e *events.Event, wanted func(no int32) bool, each func(*events.Recipient, *roster.Person) error) error {
	if !e.IsByBlock() {
		_, _, err := events.ScanChunk(e.Data, func(r *events.Recipient) error {
			if wanted != nil && !wanted(r.PortalUserNo) {
				return nil
			}
			return each(r, nil)
		})
		return err
	}
	body, err := events.Decode[events.DeliveriesByBlock](*e)
	if err != nil {
		return err
	}
	if wanted != nil {
		body.Blocks = narrow(body.Blocks, wanted)
	}
	return inBlocks(ctx, q, &body, each)
}

// narrow leaves the wanted members of the blocks, and the blocks that have any.
func narrow(blocks []events.CitedBlock, wanted func(no int32) bool) []events.CitedBlock {
	some := blocks[:0]
	for _, b := range blocks {
		members := b.Members
		for place := range members.All() {
			if !wanted(b.No.At(place)) {
				b.Members.Remove(place)
			}
		}
		if b.Members.Count() > 0 {
			some = append(some, b)
		}
	}
	return some
}

func inBlocks(ctx context.Context, q cited.Querier, body *events.DeliveriesByBlock, each func(*events.Recipient, *roster.Person) error) error {
	roots := make([]roster.Digest, len(body.Blocks))
	for i := range body.Blocks {
		roots[i] = body.Blocks[i].Roster
	}
	day, next := field.Day(body.Day), 0
	return cited.Each(ctx, q, roots, func(r *roster.Roster) error {
		b := &body.Blocks[next]
		next++
		if r.Block != b.No {
			return fmt.Errorf("the roster %x, cited for block %d, is of block %d", b.Roster, b.No, r.Block)
		}
		return members(r, &b.Members, day, each)
	})
}

// members calls each with the members of a block.
func members(r *roster.Roster, of *block.Members, day int32, each func(*events.Recipient, *roster.Person) error) error {
	var to events.Recipient
	var failed error
	found := 0
	err := r.Visit(func(p *roster.Person) bool {
		if _, place := block.Of(p.No); !of.Has(place) {
			return true
		}
		found++
		to.PortalUserID, to.PortalUserNo, to.Links = p.ID, p.No, to.Links[:0]
		for _, l := range rule.InForce(p, day) {
			to.Links = append(to.Links, events.Link{PatientID: l.ID, PatientNo: l.No, Relationship: l.Relationship})
		}
		failed = each(&to, p)
		return failed == nil
	})
	if err == nil && failed == nil && found != of.Count() {
		err = fmt.Errorf("the roster of block %d names %d of %d recipients", r.Block, found, of.Count())
	}
	return errors.Join(failed, err)
}
