package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The rows of an import on their way into its transaction's temporary tables,
// each with the place it comes from.

type place struct{ file, line int }

type patientRow struct {
	place
	id, given, family string
	birth             date
	discharged        bool
	deceased          bool
}

type portalUserRow struct {
	place
	id, name, email string
	active          bool
}

type linkRow struct {
	place
	portalUser, patient string
	relationship        string
	from, until         date
}

// episodeRow is a FHIR EpisodeOfCare, as far as it decides a patient's status.
type episodeRow struct {
	place
	patient string
	over    bool
}

const createStage = `
CREATE TEMP TABLE staged_patients (
    file integer, line integer, patient_id text COLLATE "C", given_name text, family_name text,
    birth_date date, status text, deceased boolean, words text) ON COMMIT DROP;
CREATE TEMP TABLE staged_portal_users (
    file integer, line integer, portal_user_id text COLLATE "C", name text, email text, active boolean, words text) ON COMMIT DROP;
CREATE TEMP TABLE staged_links (
    file integer, line integer, portal_user_id text COLLATE "C", patient_id text COLLATE "C", relationship text,
    valid_from date, valid_until date) ON COMMIT DROP;
CREATE TEMP TABLE staged_episodes (
    file integer, line integer, patient_id text COLLATE "C", over boolean) ON COMMIT DROP`

// stage COPYs rows into the temporary tables, about a megabyte at a time.
type stage struct {
	ctx                                   context.Context // of the import, which is one call
	tx                                    pgx.Tx
	patients, portalUsers, links, episode copyBuffer
}

func newStage(ctx context.Context, tx pgx.Tx) (*stage, error) {
	if _, err := tx.Exec(ctx, createStage); err != nil {
		return nil, fmt.Errorf("creating temporary tables: %w", err)
	}
	return &stage{
		ctx: ctx, tx: tx,
		patients:    copyBuffer{table: "staged_patients", columns: 9},
		portalUsers: copyBuffer{table: "staged_portal_users", columns: 7},
		links:       copyBuffer{table: "staged_links", columns: 7},
		episode:     copyBuffer{table: "staged_episodes", columns: 4},
	}, nil
}

func (s *stage) addPatient(r patientRow) error {
	status := "active"
	if r.discharged {
		status = "discharged"
	}
	b := s.patients.row(r.place)
	b.text(r.id)
	b.text(r.given)
	b.text(r.family)
	b.date(r.birth)
	b.text(status)
	b.bool(r.deceased)
	b.text(wordsOfPatient(r.given, r.family))
	return s.flush(b, flushAt)
}

func (s *stage) addPortalUser(r portalUserRow) error {
	email, _ := cleanEmail(r.email) // the decoder refuses what can't be cleaned
	b := s.portalUsers.row(r.place)
	b.text(r.id)
	b.text(r.name)
	b.text(email)
	b.bool(r.active)
	b.text(wordsOf(r.name))
	return s.flush(b, flushAt)
}

func (s *stage) addLink(r linkRow) error {
	b := s.links.row(r.place)
	b.text(r.portalUser)
	b.text(r.patient)
	b.text(r.relationship)
	b.date(r.from)
	b.date(r.until)
	return s.flush(b, flushAt)
}

func (s *stage) addEpisode(r episodeRow) error {
	b := s.episode.row(r.place)
	b.text(r.patient)
	b.bool(r.over)
	return s.flush(b, flushAt)
}

// close sends what is left, and lets the planner know what came.
func (s *stage) close() error {
	for _, b := range []*copyBuffer{&s.patients, &s.portalUsers, &s.links, &s.episode} {
		if err := s.flush(b, 1); err != nil {
			return err
		}
	}
	_, err := s.tx.Exec(s.ctx, `ANALYZE staged_patients, staged_portal_users, staged_links, staged_episodes`)
	return err
}

const flushAt = 1 << 20

func (s *stage) flush(b *copyBuffer, atLeast int) error {
	if len(b.data) < atLeast {
		return nil
	}
	b.data = append(b.data, 0xff, 0xff) // the trailer
	_, err := s.tx.Conn().PgConn().CopyFrom(s.ctx, bytes.NewReader(b.data), "COPY "+b.table+" FROM STDIN (FORMAT binary)")
	b.data = b.data[:0]
	if err != nil {
		return fmt.Errorf("copying into %s: %w", b.table, err)
	}
	return nil
}

// copyBuffer gathers rows in the binary format of COPY
// (https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format").
type copyBuffer struct {
	table   string
	columns uint16 // file and line included
	data    []byte
}

func (b *copyBuffer) row(p place) *copyBuffer {
	if len(b.data) == 0 {
		b.data = append(b.data, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	}
	b.data = binary.BigEndian.AppendUint16(b.data, b.columns)
	b.int(p.file)
	b.int(p.line)
	return b
}

func (b *copyBuffer) int(n int) {
	b.data = binary.BigEndian.AppendUint32(b.data, 4)
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(n)) // #nosec G115 -- a file's or a line's number
}

func (b *copyBuffer) text(s string) {
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(len(s))) // #nosec G115 -- fields are bounded
	b.data = append(b.data, s...)
}

func (b *copyBuffer) bool(v bool) {
	one := byte(0)
	if v {
		one = 1
	}
	b.data = append(b.data, 0, 0, 0, 1, one)
}

func (b *copyBuffer) date(d date) {
	if !d.set {
		b.data = append(b.data, 0xff, 0xff, 0xff, 0xff) // NULL
		return
	}
	b.data = binary.BigEndian.AppendUint32(b.data, 4)
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(d.day)) // #nosec G115 -- the same 32 bits
}
