package api

import (
	"encoding/base64"
	"encoding/binary"

	"postern/internal/problem"

	"github.com/google/uuid"
)

// Page is how a list is asked for.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"At most how many to give."`
	Cursor string `query:"cursor" maxLength:"64" doc:"The next_cursor of the page before."`
}

// List is a page of a list.
type List[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Gives the next page; null where there is none."`
}

// Cursors are opaque to clients: the key that the page ended at, in base64url.
var cursors = base64.RawURLEncoding

// fromID gives the id to go on from; without a cursor it is above all others.
func (p Page) fromID() (uuid.UUID, error) {
	if p.Cursor == "" {
		return uuid.Max, nil
	}
	raw, err := cursors.DecodeString(p.Cursor)
	if err != nil || len(raw) != len(uuid.UUID{}) {
		return uuid.Nil, errCursor
	}
	return uuid.UUID(raw), nil
}

// fromNumber gives the number to go on from; without a cursor it is 0.
func (p Page) fromNumber() (int32, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	raw, err := cursors.DecodeString(p.Cursor)
	if err != nil || len(raw) != 4 || raw[0] > 127 {
		return 0, errCursor
	}
	return int32(binary.BigEndian.Uint32(raw)), nil // #nosec G115 -- its first bit is 0
}

var errCursor error = problem.Invalid("query.cursor", "is not the next_cursor of a page of this list")

func cursorOfID(id uuid.UUID) string { return cursors.EncodeToString(id[:]) }

func cursorOfNumber(n int32) string {
	return cursors.EncodeToString(binary.BigEndian.AppendUint32(nil, uint32(n))) // #nosec G115 -- the same bits
}

// page makes a page of one row more than was asked for, whose presence tells that
// there is another.
func page[R, T any](rows []R, limit int, item func(R) T, cursor func(R) string) List[T] {
	l := List[T]{Items: make([]T, 0, min(len(rows), limit))}
	for i, row := range rows {
		if i == limit {
			next := cursor(rows[limit-1])
			l.NextCursor = &next
			break
		}
		l.Items = append(l.Items, item(row))
	}
	return l
}
