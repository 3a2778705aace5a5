// Package export writes the events of a filter to a file: rows for a spreadsheet, the stored
// events, or FHIR R4 resources. It writes while it reads, so that a million rows take no more
// memory than a few.
//
// A completed export has a manifest on the record, with the number of events and the digest
// of the file. An interrupted export has none; see [query.Export].
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

// The formats, with their names in record.exported.
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

// MediaType returns the media type of a file in the format.
func (f Format) MediaType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case FHIR:
		return "application/fhir+ndjson"
	}
	return "application/x-ndjson"
}

// FileName returns the name of a file in the format.
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

// New makes an Exporter. It reads data of messages that is not in their events from pool.
func New(record *query.Reader, pool *pgxpool.Pool) *Exporter { return &Exporter{record, pool} }

// A Started is an export whose start is recorded, with no data written yet.
type Started struct {
	*query.Export
	Format   Format
	exporter *Exporter
}

// Start starts an export for who. The result may be written to who.
func (x *Exporter) Start(ctx context.Context, who query.Actor, f query.Filter, format Format) (*Started, error) {
	begun, err := x.record.Begin(ctx, who, f, string(format))
	if err != nil {
		return nil, err
	}
	return &Started{begun, format, x}, nil
}

// form adds an event to a file.
type form interface {
	add(context.Context, *query.FullEvent) error
	rows() int // written so far
}

// Write writes the export to w and records its manifest. After an error, the written data is
// not a valid export: abort the transfer, so that the reader does not use it.
func (b *Started) Write(ctx context.Context, w io.Writer) (query.Manifest, error) {
	counted := &counter{w: w, digest: sha256.New()}
	out := bufio.NewWriterSize(counted, 64<<10)
	to, err := b.form(out)
	if err != nil {
		return query.Manifest{}, err
	}
	n := 0
	err = b.Each(ctx, func(e *query.FullEvent) error {
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

func (b *Started) form(out *bufio.Writer) (form, error) {
	switch b.Format {
	case CSV:
		return newSheet(out)
	case NDJSON:
		return &lines{out: out}, nil
	default:
		return &resources{out: out, pool: b.exporter.pool, filter: b.Filter()}, nil
	}
}

// counter is a writer that counts the bytes and computes their digest.
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
