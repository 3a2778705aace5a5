package rebuild

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/block"
	"postern/internal/inbox/authority"
	"postern/internal/recorder/inboxrows"
)

// A row of the inbox has the deliveries to up to 250 portal users, so a difference is
// described by the first portal user that it concerns.

// inboxRow is a row of record.inbox.
type inboxRow struct {
	message   uuid.UUID
	block     block.No
	part      int
	chunk     int
	members   []byte
	authority []int32
	roster    []byte
	day       *time.Time
	opened    int
}

const inboxColumns = "message_id, block, part, chunk, members, patients, roster, day, opened"

func (r *inboxRow) fields() []any {
	return []any{&r.message, (*int32)(&r.block), &r.part, &r.chunk, &r.members, &r.authority, &r.roster, &r.day, &r.opened}
}

// inboxWalk reads rows of the inbox in the order of their key.
type inboxWalk struct {
	rows pgx.Rows
	at   *inboxRow // nil at the end
}

func (w *inboxWalk) next() error {
	w.at = nil
	if !w.rows.Next() {
		return w.rows.Err()
	}
	w.at = &inboxRow{}
	return w.rows.Scan(w.at.fields()...)
}

func (r *inboxRow) compare(o *inboxRow) int {
	return cmp.Or(bytes.Compare(r.message[:], o.message[:]), cmp.Compare(r.block, o.block), cmp.Compare(r.part, o.part))
}

// firstInboxDifference reads the table from both sides and describes the first row that
// differs.
func firstInboxDifference(ctx context.Context, real, rebuilt *pgx.Conn) (Difference, error) {
	var has, should inboxWalk
	for _, side := range []struct {
		walk   *inboxWalk
		conn   *pgx.Conn
		schema string
	}{{&has, real, "record"}, {&should, rebuilt, rebuildSchema}} {
		var err error
		side.walk.rows, err = side.conn.Query(ctx, `SELECT `+inboxColumns+` FROM `+side.schema+`.inbox ORDER BY message_id, block, part`)
		if err != nil {
			return Difference{}, fmt.Errorf("comparing the inbox: %w", err)
		}
		defer side.walk.rows.Close()
		if err := side.walk.next(); err != nil {
			return Difference{}, fmt.Errorf("comparing the inbox: %w", err)
		}
	}
	for has.at != nil || should.at != nil {
		var order int
		switch {
		case has.at == nil:
			order = 1
		case should.at == nil:
			order = -1
		default:
			order = has.at.compare(should.at)
		}
		var what string
		switch {
		case order < 0:
			what = has.at.differs(nil)
		case order > 0:
			what = (*inboxRow)(nil).differs(should.at)
		default:
			what = has.at.differs(should.at)
		}
		if what != "" {
			d := Difference{Table: "record.inbox", What: what}
			of := cmp.Or(should.at, has.at)
			if order < 0 {
				of = has.at
			}
			should.rows.Close()
			err := rebuilt.QueryRow(ctx, `SELECT seq FROM `+rebuildSchema+`.chunks WHERE message_id = $1 AND chunk = $2`, of.message, of.chunk).Scan(&d.Seq)
			if errors.Is(err, pgx.ErrNoRows) {
				err = nil
			}
			return d, err
		}
		if err := errors.Join(has.next(), should.next()); err != nil {
			return Difference{}, fmt.Errorf("comparing the inbox: %w", err)
		}
	}
	return Difference{Table: "record.inbox", What: "a row differs that could not be found again"}, nil
}

// differs describes how a row differs from what it should be, and returns "" where it does
// not. A row that is missing on one side is nil there.
func (r *inboxRow) differs(should *inboxRow) string {
	of := cmp.Or(should, r)
	has, err := r.parsed()
	if err != nil {
		return fmt.Sprintf("message %s, block %d: its members can't be read: %v", of.message, of.block, err)
	}
	wants, err := should.parsed()
	if err != nil {
		return fmt.Sprintf("message %s, block %d: %v", of.message, of.block, err)
	}
	what := ""
	for place := range block.Size {
		no := of.block.At(place)
		switch {
		case wants.Has(place) && !has.Has(place):
			what = fmt.Sprintf("the delivery to portal user number %d is missing", no)
		case has.Has(place) && !wants.Has(place):
			what = fmt.Sprintf("the delivery to portal user number %d is not of the record", no)
		case has.Has(place) && !slices.Equal(authority.List(r.authority).Of(has.Rank(place)), authority.List(should.authority).Of(wants.Rank(place))):
			what = fmt.Sprintf("the delivery to portal user number %d is changed", no)
		default:
			continue
		}
		return fmt.Sprintf("message %s, chunk %d: %s", of.message, of.chunk, what)
	}
	switch {
	case r.chunk != should.chunk:
		what = fmt.Sprintf("its deliveries are of chunk %d instead of %d", r.chunk, should.chunk)
	case r.opened != should.opened:
		what = fmt.Sprintf("it counts %d openings instead of %d", r.opened, should.opened)
	case !slices.Equal(r.authority, should.authority):
		what = "it has patients of no delivery"
	case !bytes.Equal(r.roster, should.roster):
		what = "it names another roster"
	case !equalDays(r.day, should.day):
		what = "it names another day"
	default:
		return ""
	}
	return fmt.Sprintf("message %s, block %d: %s", of.message, of.block, what)
}

func equalDays(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

func (r *inboxRow) parsed() (block.Members, error) {
	if r == nil {
		return block.Members{}, nil
	}
	return block.Parse(r.members)
}

// compareChunk compares the rows of one chunk with its event, and returns "" where they are
// the same. It does not compare the counts of openings, which later events change.
func compareChunk(ctx context.Context, pool *pgxpool.Pool, c *inboxrows.Chunk) (string, error) {
	first, last := c.Rows[0].Block, c.Rows[len(c.Rows)-1].Block
	rows, err := pool.Query(ctx, `SELECT `+inboxColumns+` FROM record.inbox
		WHERE message_id = $1 AND block BETWEEN $2 AND $3 AND chunk = $4 ORDER BY block, part`, c.Message, int32(first), int32(last), c.Chunk)
	if err != nil {
		return "", fmt.Errorf("reading the inbox: %w", err)
	}
	defer rows.Close()
	has := inboxWalk{rows: rows}
	if err := has.next(); err != nil {
		return "", fmt.Errorf("reading the inbox: %w", err)
	}
	for _, row := range c.Rows {
		should := &inboxRow{message: c.Message, block: row.Block, part: row.Part, chunk: c.Chunk, members: row.Members.AppendTo(nil),
			authority: row.Authority, roster: row.Roster}
		if row.Roster != nil {
			should.day = &row.Day
		}
		if has.at == nil || has.at.compare(should) > 0 {
			return (*inboxRow)(nil).differs(should), nil
		}
		if has.at.compare(should) < 0 {
			return has.at.differs(nil), nil
		}
		should.opened = has.at.opened
		if what := has.at.differs(should); what != "" {
			return what, nil
		}
		if err := has.next(); err != nil {
			return "", fmt.Errorf("reading the inbox: %w", err)
		}
	}
	if has.at != nil {
		return has.at.differs(nil), nil
	}
	return "", nil
}
