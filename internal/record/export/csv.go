package export

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/record/query"
)

// Columns are the column names of a CSV file; docs/record.md describes them.
var Columns = []string{"seq", "time", "type", "summary", "actor", "message_id", "event_id", "repeats", "leaf_sha256"}

// sheet writes CSV (RFC 4180) that spreadsheets open correctly. It is ASCII, so that it needs
// no byte order mark, which other readers would read as part of the first column name. No
// cell is read as a formula, and times have a format that spreadsheets recognize.
type sheet struct {
	csv *csv.Writer
	n   int
}

func newSheet(out *bufio.Writer) (*sheet, error) {
	s := &sheet{csv: csv.NewWriter(out)}
	s.csv.UseCRLF = true
	return s, s.csv.Write(Columns)
}

func (s *sheet) rows() int { return s.n }

func (s *sheet) add(_ context.Context, e *query.FullEvent) error {
	s.n++
	at, message, id, repeats := "", "", "", ""
	if !e.Time.IsZero() {
		at, id = e.Time.Format(time.RFC3339Nano), e.ID.String()
	}
	if e.MessageID != uuid.Nil {
		message = e.MessageID.String()
	}
	if e.Repeats != 0 {
		repeats = strconv.FormatUint(e.Repeats, 10)
	}
	_ = s.csv.Write([]string{strconv.FormatUint(e.Seq, 10), at, cell(string(e.Type)), cell(e.Summary), cell(e.Actor),
		message, id, repeats, hex.EncodeToString(e.Leaf)})
	s.csv.Flush() // into the buffer below; only Flush reports the error of Write
	return s.csv.Error()
}
