package accounts

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// There are two ways to read accounts with their links: some of them by look-up, or all
// of them in the order of their number. The rules are the same. Reading all of them
// joins in Go and not in SQL: every plan that Postgres has for it looks up each link's
// patient or sorts the result, which takes three times as long.

// binaryResults requests every column in the binary format, which the decoders below
// read, whatever the connection's default.
var binaryResults = pgx.QueryResultFormats{pgx.BinaryFormatCode}

func rawInt(b []byte) int32 { return int32(binary.BigEndian.Uint32(b)) } // #nosec G115 -- the same 32 bits
func rawBool(b []byte) bool { return b[0] != 0 }

// termOn compares a link's dates (nil means open) with a day.
func termOn(day int32, from, until []byte) Term {
	switch {
	case until != nil && rawInt(until) < day:
		return Ended
	case from != nil && rawInt(from) > day:
		return NotBegun
	default:
		return InForce
	}
}

const accountsOf = `
SELECT u.portal_user_no, u.portal_user_id, u.active, u.email <> '',
       l.patient_no, l.relationship = 'self', l.valid_from, l.valid_until,
       p.patient_id, p.status = 'discharged', p.deceased
FROM %s u
LEFT JOIN app.links l ON l.portal_user_no = u.portal_user_no
LEFT JOIN app.patients p ON p.patient_no = l.patient_no
ORDER BY u.portal_user_no, l.patient_no, l.relationship`

// VisitSome calls visit for each account with the given numbers, in order, until visit
// returns false. day is the day of the links' terms, as field.Day returns it. The account
// is valid only until visit returns.
func VisitSome(ctx context.Context, tx pgx.Tx, nos []int32, day int32, visit func(*Account) bool) error {
	return VisitFound(ctx, tx, `(SELECT * FROM app.portal_users WHERE portal_user_no = ANY($1))`, day, visit, nos)
}

// VisitFound is like [VisitSome], for the accounts that a query finds. found is the query in
// parentheses; it selects whole rows of app.portal_users. args are its arguments.
func VisitFound(ctx context.Context, tx pgx.Tx, found string, day int32, visit func(*Account) bool, args ...any) error {
	rows, err := tx.Query(ctx, fmt.Sprintf(accountsOf, found), append([]any{binaryResults}, args...)...)
	if err != nil {
		return fmt.Errorf("reading portal users: %w", err)
	}
	return visitRows(rows, day, visit)
}

func visitRows(rows pgx.Rows, day int32, visit func(*Account) bool) error {
	defer rows.Close()
	var a Account
	for rows.Next() {
		raw := rows.RawValues()
		if no := rawInt(raw[0]); no != a.No {
			if a.No != 0 && !visit(&a) {
				return nil
			}
			a = Account{No: no, ID: string(raw[1]), Active: rawBool(raw[2]), Addressed: rawBool(raw[3]), Links: a.Links[:0]}
		}
		if raw[4] != nil {
			a.Links = append(a.Links, Link{
				PatientNo: rawInt(raw[4]), Self: rawBool(raw[5]), Term: termOn(day, raw[6], raw[7]),
				PatientID: string(raw[8]), Discharged: rawBool(raw[9]), Deceased: rawBool(raw[10]),
			})
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading portal users: %w", err)
	}
	if a.No != 0 {
		visit(&a)
	}
	return nil
}

// window is the range of portal user numbers that is read at a time.
const window = 1 << 15

// VisitAll calls visit for every account, in order, until visit returns false. The account
// is valid only until visit returns; its ids may be kept. Without withIDs, links may lack
// their patients' ids. It needs memory for a few windows of accounts, and for each patient
// of the directory, because a link can lead to any of them: about sixty bytes a patient, or
// twenty without the patients' ids.
//
// Its speed is limited by Postgres sending rows. With a second transaction of the same
// snapshot, two Postgres processes send rows at the same time.
func VisitAll(ctx context.Context, txs []pgx.Tx, day int32, withIDs bool, visit func(*Account) bool) error {
	starts, err := windows(ctx, txs[0])
	if err != nil {
		return err
	}
	if len(txs) == 1 {
		return visitInTurn(ctx, txs[0], starts, day, withIDs, visit)
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
		readers[i] = make(chan *windowReader, 2)
		group.Go(func() error {
			defer close(readers[i])
			some, err := readPatients(ctx, tx, withIDs, bounds[i], bounds[i+1])
			parts <- patientsRead{some, err}
			if err != nil {
				return err
			}
			return readWindows(ctx, tx, starts, i, len(txs), day, readers[i])
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

func visitInTurn(ctx context.Context, tx pgx.Tx, starts []int32, day int32, withIDs bool, visit func(*Account) bool) error {
	found, err := readPatients(ctx, tx, withIDs, 0, math.MaxUint32)
	if err != nil {
		return fmt.Errorf("reading patients: %w", err)
	}
	w := windowReader{tx: tx, day: day}
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
func readWindows(ctx context.Context, tx pgx.Tx, starts []int32, from, step int, day int32, out chan<- *windowReader) error {
	for i := from; i < len(starts); i += step {
		w := &windowReader{tx: tx, day: day}
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

// patient holds the data of a patient that an audience needs.
type patient struct {
	id                          string
	known, discharged, deceased bool
}

// patients holds every patient by number, in pages. A gap in the numbers, for example
// from a failed import, then takes no memory.
type patients [][]patient

const patientPage = 1 << 12

func (ps *patients) add(no int32, p patient) {
	page := int(no / patientPage)
	for len(*ps) <= page {
		*ps = append(*ps, nil)
	}
	if (*ps)[page] == nil {
		(*ps)[page] = make([]patient, patientPage)
	}
	(*ps)[page][no%patientPage] = p
}

// find returns nil for a number that no patient has.
func (ps patients) find(no int32) *patient {
	page := int(no / patientPage)
	if page >= len(ps) || ps[page] == nil || !ps[page][no%patientPage].known {
		return nil
	}
	return &ps[page][no%patientPage]
}

// take adds the patients of another part.
func (ps *patients) take(part patients) {
	for i, page := range part {
		switch {
		case page == nil:
		case i >= len(*ps):
			*ps = append(*ps, make(patients, i-len(*ps)+1)...)
			fallthrough
		case (*ps)[i] == nil:
			(*ps)[i] = page
		default:
			for j := range page {
				if page[j].known {
					(*ps)[i][j] = page[j]
				}
			}
		}
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
func readPatients(ctx context.Context, tx pgx.Tx, withIDs bool, first, end int64) (patients, error) {
	rows, err := tx.Query(ctx, `
		SELECT patient_no, CASE WHEN $1 THEN patient_id ELSE '' END, status = 'discharged', deceased
		FROM app.patients WHERE ctid >= $2::text::tid AND ctid < $3::text::tid`,
		binaryResults, withIDs, fmt.Sprintf("(%d,0)", first), fmt.Sprintf("(%d,0)", end))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found patients
	var ids idBlock
	for rows.Next() {
		raw := rows.RawValues()
		found.add(rawInt(raw[0]), patient{ids.add(raw[1]), true, rawBool(raw[2]), rawBool(raw[3])})
	}
	return found, rows.Err()
}

// windowReader reads the accounts of a range of numbers, and their links.
type windowReader struct {
	tx       pgx.Tx
	day      int32
	accounts []Account
	owners   []int32 // the portal user number of each of links
	links    []Link  // with only the number of their patient
}

// read reads a window's accounts and links, each in the order of portal user numbers.
func (w *windowReader) read(ctx context.Context, first int32) error {
	last := int32(min(int64(first)+window-1, math.MaxInt32)) // #nosec G115 -- bounded in the line
	if err := w.readAccounts(ctx, first, last); err != nil {
		return fmt.Errorf("reading portal users: %w", err)
	}
	if err := w.readLinks(ctx, first, last); err != nil {
		return fmt.Errorf("reading links: %w", err)
	}
	return nil
}

func (w *windowReader) readAccounts(ctx context.Context, first, last int32) error {
	rows, err := w.tx.Query(ctx, `
		SELECT portal_user_no, portal_user_id, active, email <> '' FROM app.portal_users
		WHERE portal_user_no BETWEEN $1 AND $2 ORDER BY portal_user_no`, binaryResults, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids idBlock
	w.accounts = w.accounts[:0]
	for rows.Next() {
		raw := rows.RawValues()
		w.accounts = append(w.accounts, Account{
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
		w.links = append(w.links, Link{PatientNo: rawInt(raw[1]), Self: rawBool(raw[2]), Term: termOn(w.day, raw[3], raw[4])})
	}
	return rows.Err()
}

// deliver visits each account with its links, completed with the data of their patients.
func (w *windowReader) deliver(found patients, visit func(*Account) bool) (more bool, err error) {
	at := 0
	for i := range w.accounts {
		a := &w.accounts[i]
		begin := at
		for ; at < len(w.links) && w.owners[at] == a.No; at++ {
			l := &w.links[at]
			p := found.find(l.PatientNo)
			if p == nil {
				return false, fmt.Errorf("a link has patient number %d, which is not in the directory", l.PatientNo)
			}
			l.PatientID, l.Discharged, l.Deceased = p.id, p.discharged, p.deceased
		}
		a.Links = w.links[begin:at]
		if !visit(a) {
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
