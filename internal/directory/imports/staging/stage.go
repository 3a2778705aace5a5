// Package staging copies the rows of an import into temporary tables of its transaction
// (staged_…), where SQL can compare them with the directory.
package staging

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/field"
	"postern/internal/directory/source"
	"postern/internal/text/folding"
)

const createStage = `
CREATE TEMP TABLE staged_patients (
    file integer, line integer, entry integer, patient_id text COLLATE "C", given_name text, family_name text,
    birth_date date, status text, deceased boolean, words text) ON COMMIT DROP;
CREATE TEMP TABLE staged_portal_users (
    file integer, line integer, entry integer, portal_user_id text COLLATE "C", name text, email text, active boolean, words text) ON COMMIT DROP;
CREATE TEMP TABLE staged_links (
    file integer, line integer, entry integer, portal_user_id text COLLATE "C", patient_id text COLLATE "C", relationship text,
    valid_from date, valid_until date) ON COMMIT DROP`

const createStageFHIR = `
CREATE TEMP TABLE staged_related (
    file integer, line integer, entry integer, related_person_id text COLLATE "C", patient_id text COLLATE "C", active boolean,
    valid_from date, valid_until date) ON COMMIT DROP;
CREATE TEMP TABLE staged_episodes (
    file integer, line integer, entry integer, episode_id text COLLATE "C", patient_id text COLLATE "C", state text) ON COMMIT DROP;
CREATE TEMP TABLE staged_replacements (
    file integer, line integer, entry integer, said_by text COLLATE "C", replaced text COLLATE "C", successor text COLLATE "C") ON COMMIT DROP;
CREATE TEMP TABLE staged_versions (
    file integer, line integer, entry integer, kind text, id text COLLATE "C", deleted boolean,
    updated bigint, version bigint, history integer, who bytea, rest bytea) ON COMMIT DROP`

// Stage copies rows into the temporary tables with COPY, about a megabyte at a time. While
// it is open, its transaction can be used for nothing else. It is for one goroutine.
type Stage struct {
	ctx                                       context.Context // of the import, which is one call
	tx                                        pgx.Tx
	tables                                    string // the names of all tables of this stage
	patients, portalUsers, links              copyBuffer
	related, episodes, replacements, versions copyBuffer
	name, words                               string // the last name, and its words
}

// New creates the temporary tables: those for CSV files and, if fhir is set, those for
// resources too. They last until the transaction ends. The context is that of the import.
func New(ctx context.Context, tx pgx.Tx, fhir bool) (*Stage, error) {
	create, tables := createStage, "staged_patients, staged_portal_users, staged_links"
	if fhir {
		create += ";" + createStageFHIR
		tables += ", staged_related, staged_episodes, staged_replacements, staged_versions"
	}
	if _, err := tx.Exec(ctx, create); err != nil {
		return nil, fmt.Errorf("creating temporary tables: %w", err)
	}
	return &Stage{
		ctx: ctx, tx: tx, tables: tables,
		patients:     copyBuffer{table: "staged_patients", columns: 10},
		portalUsers:  copyBuffer{table: "staged_portal_users", columns: 8},
		links:        copyBuffer{table: "staged_links", columns: 8},
		related:      copyBuffer{table: "staged_related", columns: 8},
		episodes:     copyBuffer{table: "staged_episodes", columns: 6},
		replacements: copyBuffer{table: "staged_replacements", columns: 6},
		versions:     copyBuffer{table: "staged_versions", columns: 11},
	}, nil
}

// Sink returns a sink for rows. The caller adds its functions for faults.
func (s *Stage) Sink() source.Sink {
	return source.Sink{
		Patient: s.addPatient, PortalUser: s.addPortalUser, Link: s.addLink,
		RelatedPerson: s.addRelated, Episode: s.addEpisode, Replacement: s.addReplacement, Version: s.addVersion,
	}
}

func (s *Stage) addPatient(r source.Patient) error {
	status := "active"
	if r.Discharged {
		status = "discharged"
	}
	b := s.patients.row(r.Place)
	b.text(r.ID)
	b.text(r.Given)
	b.text(r.Family)
	b.date(r.Birth)
	b.text(status)
	b.bool(r.Deceased)
	b.text(s.wordsOf(strings.TrimSpace(r.Given + " " + r.Family)))
	return s.flush(b, flushAt)
}

func (s *Stage) addPortalUser(r source.PortalUser) error {
	email, _ := field.CleanEmail(r.Email) // the decoder refuses what can't be cleaned
	b := s.portalUsers.row(r.Place)
	b.text(r.ID)
	b.text(r.Name)
	b.text(email)
	b.bool(r.Active)
	b.text(s.wordsOf(r.Name))
	return s.flush(b, flushAt)
}

// wordsOf returns the words of a name. It keeps the last result, because a FHIR Patient
// has the same name twice, as a patient and as a portal user.
func (s *Stage) wordsOf(name string) string {
	if name != s.name {
		s.name, s.words = name, strings.Join(folding.Words(name), " ")
	}
	return s.words
}

func (s *Stage) addLink(r source.Link) error {
	b := s.links.row(r.Place)
	b.text(r.PortalUser)
	b.text(r.Patient)
	b.text(r.Relationship)
	b.date(r.From)
	b.date(r.Until)
	return s.flush(b, flushAt)
}

func (s *Stage) addRelated(r source.RelatedPerson) error {
	b := s.related.row(r.Place)
	b.text(r.ID)
	b.textOrNull(r.Patient)
	b.bool(r.Active)
	b.date(r.From)
	b.date(r.Until)
	return s.flush(b, flushAt)
}

func (s *Stage) addEpisode(r source.Episode) error {
	b := s.episodes.row(r.Place)
	b.text(r.ID)
	b.textOrNull(r.Patient)
	b.text(string(r.State))
	return s.flush(b, flushAt)
}

func (s *Stage) addReplacement(r source.Replacement) error {
	b := s.replacements.row(r.Place)
	b.text(r.SaidBy)
	b.text(r.Replaced)
	b.text(r.Successor)
	return s.flush(b, flushAt)
}

func (s *Stage) addVersion(r source.Version) error {
	b := s.versions.row(r.Place)
	b.text(string(r.Kind))
	b.text(r.ID)
	b.bool(r.Deleted)
	b.bigint(r.Updated, r.Dated)
	b.bigint(r.Version, r.Numbered)
	b.int(r.History)
	b.text(string(r.Who[:])) // bytea has the same binary format as text
	b.text(string(r.Rest[:]))
	return s.flush(b, flushAt)
}

// Close copies the remaining rows, and updates the planner's statistics. Then the tables can
// be read.
func (s *Stage) Close() error {
	for _, b := range []*copyBuffer{&s.patients, &s.portalUsers, &s.links, &s.related, &s.episodes, &s.replacements, &s.versions} {
		if err := s.flush(b, 1); err != nil {
			return err
		}
	}
	// For joins by id a sample of three thousand rows is enough, and costs a tenth.
	_, err := s.tx.Exec(s.ctx, `SET LOCAL default_statistics_target = 10; ANALYZE `+s.tables)
	return err
}

const flushAt = 1 << 20

func (s *Stage) flush(b *copyBuffer, atLeast int) error {
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

// copyBuffer collects rows in the binary format of COPY
// (https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format").
type copyBuffer struct {
	table   string
	columns uint16 // including the columns of the place
	data    []byte
}

func (b *copyBuffer) row(p source.Place) *copyBuffer {
	if len(b.data) == 0 {
		b.data = append(b.data, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	}
	b.data = binary.BigEndian.AppendUint16(b.data, b.columns)
	b.int(p.File)
	b.int(p.Line)
	b.int(p.Entry)
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

func (b *copyBuffer) textOrNull(s string) {
	if s == "" {
		b.null()
		return
	}
	b.text(s)
}

func (b *copyBuffer) null() { b.data = append(b.data, 0xff, 0xff, 0xff, 0xff) }

func (b *copyBuffer) bigint(n int64, set bool) {
	if !set {
		b.null()
		return
	}
	b.data = binary.BigEndian.AppendUint32(b.data, 8)
	b.data = binary.BigEndian.AppendUint64(b.data, uint64(n)) // #nosec G115 -- the same 64 bits
}

func (b *copyBuffer) bool(v bool) {
	one := byte(0)
	if v {
		one = 1
	}
	b.data = append(b.data, 0, 0, 0, 1, one)
}

func (b *copyBuffer) date(d field.Date) {
	if !d.Set {
		b.null()
		return
	}
	b.data = binary.BigEndian.AppendUint32(b.data, 4)
	b.data = binary.BigEndian.AppendUint32(b.data, uint32(d.Day)) // #nosec G115 -- the same 32 bits
}

// EachPlace runs a query whose first three columns are a place, scans the others into
// more, and calls found for each row.
func EachPlace(ctx context.Context, tx pgx.Tx, query string, more []any, found func(source.Place), args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	var at source.Place
	_, err = pgx.ForEachRow(rows, append([]any{&at.File, &at.Line, &at.Entry}, more...), func() error {
		found(at)
		return nil
	})
	return err
}
