package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
)

// floor creates an empty table with a row for each delivery, as the record had it in the
// first format, and with the same indexes. It stays as it is, so that figures of different
// versions compare.
const floor = `DROP TABLE IF EXISTS public.floor;
	CREATE TABLE public.floor (message_id uuid NOT NULL, portal_user_no integer NOT NULL, chunk integer NOT NULL, patient_nos integer[] NOT NULL,
	                           PRIMARY KEY (message_id, portal_user_no));
	CREATE INDEX ON public.floor (portal_user_no, message_id); CHECKPOINT`

// measureCopy measures (a): the time that Postgres alone needs for a row for each delivery.
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
	if err := s.deliveryRows(ctx, conn, rows); err != nil {
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

// deliveryRows writes the rows of floor that one blast gives, in the format of COPY BINARY. In
// the directory of the bench each portal user has one patient.
func (s *system) deliveryRows(ctx context.Context, conn *pgx.Conn, to io.Writer) error {
	reader, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close(ctx) }()
	if _, err := conn.PgConn().Exec(ctx, floor).ReadAll(); err != nil {
		return err
	}
	rows, err := reader.Query(ctx, `SELECT message_id, block, chunk, members FROM record.inbox
		WHERE message_id = (SELECT message_id FROM record.messages ORDER BY delivered DESC, message_id LIMIT 1) ORDER BY block, part`)
	if err != nil {
		return err
	}
	var waiting [][]any
	next := func() ([]any, error) {
		for len(waiting) == 0 {
			if !rows.Next() {
				return nil, rows.Err()
			}
			if waiting, err = expand(rows); err != nil {
				return nil, err
			}
		}
		row := waiting[0]
		waiting = waiting[1:]
		return row, nil
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"public", "floor"}, []string{"message_id", "portal_user_no", "chunk", "patient_nos"}, pgx.CopyFromFunc(next)); err != nil {
		return err
	}
	_, err = conn.PgConn().CopyTo(ctx, to, `COPY (SELECT * FROM public.floor ORDER BY message_id, portal_user_no) TO STDOUT BINARY`)
	return err
}

// expand returns the rows of floor that a row of the inbox gives.
func expand(row pgx.Rows) (all [][]any, err error) {
	var message uuid.UUID
	var of block.No
	var chunk int
	var stored []byte
	if err := row.Scan(&message, (*int32)(&of), &chunk, &stored); err != nil {
		return nil, err
	}
	members, err := block.Parse(stored)
	if err != nil {
		return nil, err
	}
	for place := range members.All() {
		all = append(all, []any{message, of.At(place), chunk, []int32{of.At(place)}})
	}
	return all, nil
}

// copyIn returns the seconds for a COPY of the rows into an empty table, with batch rows
// in a transaction, or all rows in one for 0.
func (s *system) copyIn(ctx context.Context, conn *pgx.Conn, rows io.ReadSeeker, batch int) (float64, error) {
	if _, err := conn.PgConn().Exec(ctx, floor).ReadAll(); err != nil {
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
