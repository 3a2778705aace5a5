// Package people reads portal users with their links from the tables of the directory, as a
// roster says them, and as fast as the database sends them. It knows no rule.
//
// # Concurrency
//
// All functions may be called concurrently, each call with its own transactions.
package people

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/directory/block"
	"postern/internal/directory/field"
	"postern/internal/directory/roster"
)

// There are two ways to read people with their links: some of them by look-up, or all of them
// in the order of their number. Reading all of them joins in Go and not in SQL: every plan that
// Postgres has for it looks up each link's patient or sorts the result, which takes three times
// as long.

// binaryResults requests every column in the binary format, which the decoders below
// read, whatever the connection's default.
var binaryResults = pgx.QueryResultFormats{pgx.BinaryFormatCode}

func rawInt(b []byte) int32 { return int32(binary.BigEndian.Uint32(b)) } // #nosec G115 -- the same 32 bits
func rawBool(b []byte) bool { return b[0] != 0 }

// rawDate decodes a date; nil means open.
func rawDate(b []byte) field.Date {
	if b == nil {
		return field.Date{}
	}
	return field.Date{Day: rawInt(b), Set: true}
}

const some = `
SELECT u.portal_user_no, u.portal_user_id, u.active, u.email <> '',
       l.patient_no, l.relationship = 'self', l.valid_from, l.valid_until,
       p.patient_id, p.status = 'discharged', p.deceased
FROM %s
LEFT JOIN app.links l ON l.portal_user_no = u.portal_user_no
LEFT JOIN app.patients p ON p.patient_no = l.patient_no
ORDER BY u.portal_user_no, l.patient_no, l.relationship`

var (
	withNumbers = fmt.Sprintf(some, `unnest($1::integer[]) AS of(no) JOIN app.portal_users u ON u.portal_user_no = of.no`)
	inBlocks    = fmt.Sprintf(some, `unnest($1::integer[], $2::integer[]) AS of(first, last) JOIN app.portal_users u ON u.portal_user_no BETWEEN of.first AND of.last`)
)

// Querier runs queries: a pool, a connection or a transaction of pgx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Numbered calls visit for each portal user with one of the numbers, each given once, in order,
// until visit returns false. The person is valid only until visit returns; ids may be kept. It is one query, so it reads one moment.
func Numbered(ctx context.Context, q Querier, nos []int32, visit func(*roster.Person) bool) error {
	return visitFound(ctx, q, visit, withNumbers, nos)
}

// InBlocks is like [Numbered], for all portal users of some blocks, each given once.
func InBlocks(ctx context.Context, tx pgx.Tx, blocks []block.No, visit func(*roster.Person) bool) error {
	first, last := make([]int32, len(blocks)), make([]int32, len(blocks))
	for i, b := range blocks {
		first[i] = b.At(0)
		last[i] = int32(min(int64(first[i])+block.Size-1, math.MaxInt32)) // #nosec G115 -- bounded in the line
	}
	return visitFound(ctx, tx, visit, inBlocks, first, last)
}

func visitFound(ctx context.Context, q Querier, visit func(*roster.Person) bool, query string, args ...any) error {
	rows, err := q.Query(ctx, query, append([]any{binaryResults}, args...)...)
	if err != nil {
		return fmt.Errorf("reading portal users: %w", err)
	}
	defer rows.Close()
	var p roster.Person
	var ids idBlock
	for rows.Next() {
		raw := rows.RawValues()
		if no := rawInt(raw[0]); no != p.No {
			if p.No != 0 && !visit(&p) {
				return nil
			}
			p = roster.Person{No: no, ID: ids.add(raw[1]), Active: rawBool(raw[2]), Addressed: rawBool(raw[3]), Links: p.Links[:0]}
		}
		switch {
		case raw[4] == nil:
		case raw[8] == nil:
			return noPatient(rawInt(raw[4]))
		default:
			p.Links = append(p.Links, roster.Link{
				PatientNo: rawInt(raw[4]), PatientID: ids.add(raw[8]), Self: rawBool(raw[5]), From: rawDate(raw[6]), Until: rawDate(raw[7]),
				Discharged: rawBool(raw[9]), Deceased: rawBool(raw[10]),
			})
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading portal users: %w", err)
	}
	if p.No != 0 {
		visit(&p)
	}
	return nil
}

func noPatient(no int32) error {
	return fmt.Errorf("a link has patient number %d, which is not in the directory", no)
}

// window is the range of portal user numbers that is read at a time. While one is visited, each
// reader has two more: a million people need no more memory than ten thousand.
const window = 1 << 13

// All calls visit for every portal user, in order, until visit returns false. The person is
// valid only until visit returns; ids may be kept. It needs memory for a few windows of people,
// and about seventeen bytes for each patient of the directory, because a link can lead to any of
// them.
//
// Its speed is limited by Postgres sending rows. With a second transaction of the same
// snapshot, two Postgres processes send rows at the same time.
func All(ctx context.Context, txs []pgx.Tx, visit func(*roster.Person) bool) error {
	starts, err := windows(ctx, txs[0])
	if err != nil {
		return err
	}
	if len(txs) == 1 {
		return visitInTurn(ctx, txs[0], starts, visit)
	}
	ctx, cancel := context.WithCancel(ctx)
	var group errgroup.Group
	// Stop the readers before the caller uses its transactions again.
	defer func() { cancel(); _ = group.Wait() }()
	// Computed once: the table may grow, and the parts must not overlap or leave a gap.
	bounds, err := patientParts(ctx, txs[0], len(txs))
	if err != nil {
		return fmt.Errorf("reading patients: %w", err)
	}
	parts := make(chan patientsRead, len(txs))
	readers := make([]chan *windowReader, len(txs))
	for i, tx := range txs {
		readers[i] = make(chan *windowReader, 1)
		group.Go(func() error {
			defer close(readers[i])
			some, err := readPatients(ctx, tx, bounds[i], bounds[i+1])
			parts <- patientsRead{some, err}
			if err != nil {
				return err
			}
			return readWindows(ctx, tx, starts, i, len(txs), readers[i])
		})
	}
	var found patients
	for range txs {
		part := <-parts
		if part.err != nil {
			return fmt.Errorf("reading patients: %w", part.err)
		}
		found.take(part.patients)
	}
	for i := range starts {
		w, ok := <-readers[i%len(readers)]
		if !ok {
			cancel() // the other reader may be blocked on its channel
			return group.Wait()
		}
		if more, err := w.deliver(found, visit); err != nil || !more {
			return err
		}
	}
	return nil
}

// windows returns the first number of each window. Each is the number of an existing
// portal user, so that a gap in the numbers costs nothing.
func windows(ctx context.Context, tx pgx.Tx) (starts []int32, err error) {
	for last := int64(0); last < math.MaxInt32; {
		var first *int32
		const next = `SELECT min(portal_user_no) FROM app.portal_users WHERE portal_user_no > $1`
		if err := tx.QueryRow(ctx, next, last).Scan(&first); err != nil {
			return nil, fmt.Errorf("reading portal users: %w", err)
		}
		if first == nil {
			break
		}
		starts = append(starts, *first)
		last = int64(*first) + window - 1
	}
	return starts, nil
}

func visitInTurn(ctx context.Context, tx pgx.Tx, starts []int32, visit func(*roster.Person) bool) error {
	found, err := readPatients(ctx, tx, 0, math.MaxUint32)
	if err != nil {
		return fmt.Errorf("reading patients: %w", err)
	}
	w := windowReader{tx: tx}
	for _, first := range starts {
		if err := w.read(ctx, first); err != nil {
			return err
		}
		if more, err := w.deliver(found, visit); err != nil || !more {
			return err
		}
	}
	return nil
}

// readWindows reads every step-th window and sends it to out.
func readWindows(ctx context.Context, tx pgx.Tx, starts []int32, from, step int, out chan<- *windowReader) error {
	for i := from; i < len(starts); i += step {
		w := &windowReader{tx: tx}
		if err := w.read(ctx, starts[i]); err != nil {
			return err
		}
		select {
		case out <- w:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// patients holds every patient by number, in pages. A gap in the numbers, for example
// from a failed import, then takes no memory.
type patients []*patientPage

const pageSize = 1 << 12

// patientPage holds what a roster says of pageSize patients: seventeen bytes of each whose id is a
// UUID, as in most directories.
type patientPage struct {
	state [pageSize]state
	uuids *[pageSize]uuid.UUID // nil: no id is a UUID
	texts *[pageSize]string    // nil: every id is a UUID
}

// state is what is known of a patient; 0: there is none.
type state byte

const (
	known state = 1 << iota
	hasUUID
	discharged
	deceased
)

func (ps *patients) add(no int32, id []byte, s state) {
	at, in := int(no/pageSize), no%pageSize
	for len(*ps) <= at {
		*ps = append(*ps, nil)
	}
	if (*ps)[at] == nil {
		(*ps)[at] = &patientPage{}
	}
	page := (*ps)[at]
	s |= known
	if u, ok := canonical(id); ok {
		if page.uuids == nil {
			page.uuids = &[pageSize]uuid.UUID{}
		}
		s |= hasUUID
		page.uuids[in] = u
	} else {
		page.setText(in, string(id))
	}
	page.state[in] = s
}

func (p *patientPage) setText(in int32, id string) {
	if p.texts == nil {
		p.texts = &[pageSize]string{}
	}
	p.texts[in] = id
}

// canonical returns the UUID of an id in the form that [appendUUID] gives.
func canonical(id []byte) (u uuid.UUID, ok bool) {
	if len(id) != 36 {
		return u, false
	}
	u, err := uuid.ParseBytes(id)
	if err != nil {
		return u, false
	}
	var text [36]byte
	return u, bytes.Equal(appendUUID(text[:0], u), id)
}

func appendUUID(dst []byte, u uuid.UUID) []byte {
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// complete adds to a link what is known of its patient. It returns false if there is none.
func (ps patients) complete(l *roster.Link, ids *idBlock) bool {
	at, in := int(l.PatientNo/pageSize), l.PatientNo%pageSize
	if at >= len(ps) || ps[at] == nil || ps[at].state[in]&known == 0 {
		return false
	}
	page := ps[at]
	s := page.state[in]
	if s&hasUUID != 0 {
		var text [36]byte
		l.PatientID = ids.add(appendUUID(text[:0], page.uuids[in]))
	} else {
		l.PatientID = page.texts[in]
	}
	l.Discharged, l.Deceased = s&discharged != 0, s&deceased != 0
	return true
}

// take adds the patients of another part.
func (ps *patients) take(part patients) {
	for at, page := range part {
		switch {
		case page == nil:
		case at >= len(*ps):
			*ps = append(*ps, make(patients, at-len(*ps)+1)...)
			fallthrough
		case (*ps)[at] == nil:
			(*ps)[at] = page
		default:
			(*ps)[at].take(page)
		}
	}
}

// take adds the patients of the page of another part.
func (p *patientPage) take(other *patientPage) {
	for in := range int32(pageSize) {
		s := other.state[in]
		switch {
		case s&known == 0:
			continue
		case s&hasUUID == 0:
			p.setText(in, other.texts[in])
		case p.uuids == nil:
			p.uuids = &[pageSize]uuid.UUID{}
			fallthrough
		default:
			p.uuids[in] = other.uuids[in]
		}
		p.state[in] = s
	}
}

// patientsRead is the result of reading a part of the patients.
type patientsRead struct {
	patients
	err error
}

// patientParts divides the table of patients into parts with the same number of pages. It
// returns the first page of each part, and the end of the last part, which is beyond any
// possible page.
func patientParts(ctx context.Context, tx pgx.Tx, of int) ([]int64, error) {
	var pages int64
	if err := tx.QueryRow(ctx, `SELECT pg_relation_size('app.patients') / current_setting('block_size')::int`).Scan(&pages); err != nil {
		return nil, err
	}
	bounds := make([]int64, of+1)
	for i := range of {
		bounds[i] = pages * int64(i) / int64(of)
	}
	bounds[of] = math.MaxUint32
	return bounds, nil
}

// readPatients reads the patients from one page of the table up to another, in their
// order on disk, without reading the rest
// (https://www.postgresql.org/docs/15/release-14.html, TID range scans).
func readPatients(ctx context.Context, tx pgx.Tx, first, end int64) (patients, error) {
	rows, err := tx.Query(ctx, `
		SELECT patient_no, patient_id, status = 'discharged', deceased
		FROM app.patients WHERE ctid >= $1::text::tid AND ctid < $2::text::tid`,
		binaryResults, fmt.Sprintf("(%d,0)", first), fmt.Sprintf("(%d,0)", end))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found patients
	for rows.Next() {
		raw := rows.RawValues()
		var s state
		if rawBool(raw[2]) {
			s |= discharged
		}
		if rawBool(raw[3]) {
			s |= deceased
		}
		found.add(rawInt(raw[0]), raw[1], s)
	}
	return found, rows.Err()
}

// windowReader reads the people of a range of numbers, and their links.
type windowReader struct {
	tx     pgx.Tx
	people []roster.Person
	owners []int32       // the portal user number of each of links
	links  []roster.Link // with only the number of their patient
}

// read reads a window's people and links, each in the order of portal user numbers.
func (w *windowReader) read(ctx context.Context, first int32) error {
	last := int32(min(int64(first)+window-1, math.MaxInt32)) // #nosec G115 -- bounded in the line
	if err := w.readPeople(ctx, first, last); err != nil {
		return fmt.Errorf("reading portal users: %w", err)
	}
	if err := w.readLinks(ctx, first, last); err != nil {
		return fmt.Errorf("reading links: %w", err)
	}
	return nil
}

func (w *windowReader) readPeople(ctx context.Context, first, last int32) error {
	rows, err := w.tx.Query(ctx, `
		SELECT portal_user_no, portal_user_id, active, email <> '' FROM app.portal_users
		WHERE portal_user_no BETWEEN $1 AND $2 ORDER BY portal_user_no`, binaryResults, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids idBlock
	w.people = w.people[:0]
	for rows.Next() {
		raw := rows.RawValues()
		w.people = append(w.people, roster.Person{
			No: rawInt(raw[0]), ID: ids.add(raw[1]), Active: rawBool(raw[2]), Addressed: rawBool(raw[3])})
	}
	return rows.Err()
}

func (w *windowReader) readLinks(ctx context.Context, first, last int32) error {
	rows, err := w.tx.Query(ctx, `
		SELECT portal_user_no, patient_no, relationship = 'self', valid_from, valid_until FROM app.links
		WHERE portal_user_no BETWEEN $1 AND $2 ORDER BY portal_user_no, patient_no, relationship`, binaryResults, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	w.owners, w.links = w.owners[:0], w.links[:0]
	for rows.Next() {
		raw := rows.RawValues()
		w.owners = append(w.owners, rawInt(raw[0]))
		w.links = append(w.links, roster.Link{PatientNo: rawInt(raw[1]), Self: rawBool(raw[2]), From: rawDate(raw[3]), Until: rawDate(raw[4])})
	}
	return rows.Err()
}

// deliver visits each person with its links, completed with the data of their patients.
func (w *windowReader) deliver(found patients, visit func(*roster.Person) bool) (more bool, err error) {
	at := 0
	var ids idBlock
	for i := range w.people {
		p := &w.people[i]
		begin := at
		for ; at < len(w.links) && w.owners[at] == p.No; at++ {
			l := &w.links[at]
			if !found.complete(l, &ids) {
				return false, noPatient(l.PatientNo)
			}
		}
		p.Links = w.links[begin:at:at]
		if !visit(p) {
			return false, nil
		}
	}
	if at < len(w.links) {
		return false, fmt.Errorf("a link has portal user number %d, which is not in the directory", w.owners[at])
	}
	return true, nil
}

// idBlock allocates the strings of thousands of ids at a time.
type idBlock struct{ b strings.Builder }

func (blk *idBlock) add(id []byte) string {
	if blk.b.Cap()-blk.b.Len() < len(id) {
		blk.b = strings.Builder{}
		blk.b.Grow(max(1<<16, len(id)))
	}
	start := blk.b.Len()
	blk.b.Write(id)
	return blk.b.String()[start:]
}
