package api

import (
	"encoding/base64"
	"encoding/binary"

	"postern/internal/problem"

	"github.com/google/uuid"
)

// Page has the query parameters of a list.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"The most items to return."`
	Cursor string `query:"cursor" maxLength:"64" doc:"The next_cursor of the previous page."`
}

// List is a page of a list.
type List[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"The cursor of the next page; null if there is none."`
}

// Cursors are opaque to clients: the key that the page ended at, in base64url.
var cursors = base64.RawURLEncoding

// fromID returns the id to continue from. Without a cursor it is above all others.
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

// fromNumber returns the number to continue from. Without a cursor it is 0.
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

// fromSequence returns the sequence of the event to continue from. Without a cursor it is 0.
func (p Page) fromSequence() (uint64, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	raw, err := cursors.DecodeString(p.Cursor)
	if err != nil || len(raw) != 8 || raw[0] > 127 {
		return 0, errCursor
	}
	return binary.BigEndian.Uint64(raw), nil
}

var errCursor error = problem.Invalid("query.cursor", "is not the next_cursor of a page of this list")

func cursorOfID(id uuid.UUID) string { return cursors.EncodeToString(id[:]) }

func cursorOfNumber(n int32) string {
	return cursors.EncodeToString(binary.BigEndian.AppendUint32(nil, uint32(n))) // #nosec G115 -- the same bits
}

func cursorOfSequence(seq uint64) string {
	return cursors.EncodeToString(binary.BigEndian.AppendUint64(nil, seq))
}

// page makes a page from up to limit+1 rows. The extra row means that there is another
// page.
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

// byPosition pages through a short list by position. A client that misses an item added in
// between reads the list again.
func byPosition[R, T any](p Page, all []R, item func(R) T) (*body[List[T]], error) {
	skip, err := p.fromNumber()
	if err != nil {
		return nil, err
	}
	rest := all[min(int(skip), len(all)):]
	next := skip + int32(p.Limit) // #nosec G115 -- a page has at most 500
	return answerWith(page(rest, p.Limit, item, func(R) string { return cursorOfNumber(next) })), nil
}
