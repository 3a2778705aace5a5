// Package export writes what a filter chooses of the record to a file that can be
// handed over: rows for a spreadsheet, the events as they are stored, or resources of
// FHIR R4. It is written while it is read, so that a million rows take no more memory
// than a few.
//
// An export ends with its manifest on the record: how many events, and the digest of
// the file. What was broken off has none; see [query.Export].
package export

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/record/query"
)

// A Format is a form of file.
type Format string

// The formats; their names are those that record.exported carries.
const (
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
	FHIR   Format = "fhir"
)

// ParseFormat reads the name of a format. Its error lists them all.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case CSV, NDJSON, FHIR:
		return f, nil
	}
	return "", fmt.Errorf("%q is not a format; there are csv, ndjson and fhir", s)
}

// MediaType is what a file of the format is.
func (f Format) MediaType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case FHIR:
		return "application/fhir+ndjson"
	}
	return "application/x-ndjson"
}

// FileName is how a file of the format is called.
func (f Format) FileName() string {
	if f == FHIR {
		return "record.fhir.ndjson"
	}
	return "record." + string(f)
}

// An Exporter exports the record.
type Exporter struct {
	record *query.Reader
	pool   *pgxpool.Pool
}

// New makes an Exporter. pool is for what the exports say of messages beside their events.
func New(record *query.Reader, pool *pgxpool.Pool) *Exporter { return &Exporter{record, pool} }

// A Begun export is on the record as one that was begun, and has nothing written yet.
type Begun struct {
	*query.Export
	Format   Format
	exporter *Exporter
}

// Begin begins an export for who. What it gives may be written to them.
func (x *Exporter) Begin(ctx context.Context, who query.Actor, f query.Filter, format Format) (*Begun, error) {
	begun, err := x.record.Begin(ctx, who, f, string(format))
	if err != nil {
		return nil, err
	}
	return &Begun{begun, format, x}, nil
}

// form adds an event to a file.
type form interface {
	add(context.Context, *query.Whole) error
	rows() int // written so far
}

// Write writes the export to w and puts its manifest on the record. After an error
// what was written is not an export: break it off, so that nobody takes it for one.
func (b *Begun) Write(ctx context.Context, w io.Writer) (query.Manifest, error) {
	counted := &counter{w: w, digest: sha256.New()}
	out := bufio.NewWriterSize(counted, 64<<10)
	to, err := b.form(out)
	if err != nil {
		return query.Manifest{}, err
	}
	n := 0
	err = b.Each(ctx, func(e *query.Whole) error {
		n++
		return to.add(ctx, e)
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return query.Manifest{}, fmt.Errorf("writing an export: %w", err)
	}
	return b.End(ctx, events.RecordExported{Events: n, Rows: to.rows(), Bytes: counted.bytes,
		Digest: "sha256:" + hex.EncodeToString(counted.digest.Sum(nil))})
}

func (b *Begun) form(out *bufio.Writer) (form, error) {
	switch b.Format {
	case CSV:
		return newSheet(out)
	case NDJSON:
		return &lines{out: out}, nil
	default:
		return &resources{out: out, pool: b.exporter.pool, filter: b.Filter()}, nil
	}
}

// counter passes on what is written, and tells how much it was and its digest.
type counter struct {
	w      io.Writer
	digest hash.Hash
	bytes  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.digest.Write(p[:n])
	c.bytes += int64(n)
	return n, err
}
