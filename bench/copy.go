package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5"
)

// measureCopy measures (a): the time that Postgres alone needs for the same rows.
func (s *system) measureCopy(ctx context.Context, f *Figures) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM record.events`).Scan(&f.Events); err != nil {
		return err
	}
	rows, err := os.CreateTemp("", "postern-rows-")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close(); _ = os.Remove(rows.Name()) }()
	_, err = conn.PgConn().CopyTo(ctx, rows, `COPY (SELECT * FROM record.deliveries ORDER BY message_id, portal_user_no) TO STDOUT BINARY`)
	if err != nil {
		return err
	}
	one, err := s.copyIn(ctx, conn, rows, 0)
	if err != nil {
		return err
	}
	many, err := s.copyIn(ctx, conn, rows, 10_000)
	if err != nil {
		return err
	}
	fmt.Printf("raw COPY: at once %.2f s, in batches of 10,000 %.2f s\n", one, many)
	f.CopyS = min(one, many)
	return nil
}

// copyIn returns the seconds for a COPY of the rows into an empty table, with batch rows
// in a transaction, or all rows in one for 0.
func (s *system) copyIn(ctx context.Context, conn *pgx.Conn, rows io.ReadSeeker, batch int) (float64, error) {
	const table = `DROP TABLE IF EXISTS public.floor; CREATE TABLE public.floor (LIKE record.deliveries INCLUDING ALL); CHECKPOINT`
	if _, err := conn.PgConn().Exec(ctx, table).ReadAll(); err != nil {
		return 0, err
	}
	defer func() { _, _ = conn.Exec(ctx, `DROP TABLE public.floor`) }()
	parts, err := split(rows, batch)
	if err != nil {
		return 0, err
	}
	taken := stopwatch()
	for _, part := range parts {
		if _, err := conn.PgConn().CopyFrom(ctx, part, `COPY public.floor FROM STDIN BINARY`); err != nil {
			return 0, err
		}
	}
	return taken(), nil
}

// split splits a COPY BINARY file into readers of batch rows each, or one reader for 0.
func split(file io.ReadSeeker, batch int) ([]io.Reader, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if batch == 0 {
		return []io.Reader{file}, nil
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	const head = 19 // signature, flags, no extension
	var parts []io.Reader
	for at := head; binary.BigEndian.Uint16(data[at:]) != 0xffff; {
		begin := at
		for n := 0; n < batch && binary.BigEndian.Uint16(data[at:]) != 0xffff; n++ {
			columns := int(binary.BigEndian.Uint16(data[at:]))
			at += 2
			for range columns {
				at += 4 + int(binary.BigEndian.Uint32(data[at:]))
			}
		}
		parts = append(parts, io.MultiReader(
			bytes.NewReader(data[:head]), bytes.NewReader(data[begin:at]), bytes.NewReader([]byte{0xff, 0xff})))
	}
	return parts, nil
}
