// Package accounting writes the accounting of disclosures of one patient, as 45 CFR 164.528(b)
// wants it: for each disclosure its date, who received it and their address if it is known, a
// brief description of what was disclosed, and the purpose.
//
// A message to a representative of several patients is in the accounting of those whom it concerns (see
// package matter). One that does not state it is in the accounting of each of them, and says so.
//
// It lists every way in which information about the patient went to a person: messages in the
// portal, bundles for people outside, exports of the record that name the patient, one of their
// messages or one of their recipients, and emergency access. Those that the accounting need not
// have are listed too, each with the reason why it is exempt. Readings of the record on its pages
// are uses by the clinic's own staff, and are not listed.
package accounting

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory"
	"postern/internal/directory/audience/matter"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/record/export"
	"postern/internal/record/query"
	"postern/internal/text/language"
	"postern/internal/text/zone"
)

// Years is how far back an accounting goes: 45 CFR 164.528(a)(1).
const Years = 6

// Config has the dependencies of [Accounts].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Record reads the disclosures, which is recorded.
	Record *query.Reader
	Now    func() time.Time
}

// Accounts makes accountings. It is safe for concurrent use.
type Accounts struct{ cfg Config }

// New makes Accounts. It does no I/O.
func New(cfg Config) *Accounts { return &Accounts{cfg} }

// ErrNoPatient is the error if the patient does not exist.
var ErrNoPatient = problem.NotFound.New("there is no such patient")

// A Period is a number of days, in the time zone of the process: from First up to and with Last.
type Period struct{ First, Last time.Time }

// Period reads the first and the last day as YYYY-MM-DD. Without a last day it ends today;
// without a first day it has the most years that an accounting can have. Faults are at the
// locations query.from and query.to.
func (a *Accounts) Period(from, to string) (p Period, err error) {
	var faults []problem.Fault
	day := func(location, text string, otherwise func() time.Time) time.Time {
		if text == "" {
			return otherwise()
		}
		at, err := time.ParseInLocation(time.DateOnly, text, zone.Clinic())
		if err != nil {
			faults = append(faults, problem.Fault{Location: location, Message: "is not a day such as 2026-01-31"})
		}
		return at
	}
	p.Last = day("query.to", to, func() time.Time {
		year, month, today := zone.In(a.cfg.Now()).Date()
		return time.Date(year, month, today, 0, 0, 0, 0, zone.Clinic())
	})
	p.First = day("query.from", from, func() time.Time { return p.Last.AddDate(-Years, 0, 1) })
	switch {
	case len(faults) > 0:
	case p.Last.Before(p.First):
		faults = append(faults, problem.Fault{Location: "query.to", Message: "is before the first day"})
	case p.First.Before(p.Last.AddDate(-Years, 0, 0)):
		faults = append(faults, problem.Fault{Location: "query.from", Message: "is more than " + strconv.Itoa(Years) + " years before the last day"})
	}
	if len(faults) > 0 {
		return Period{}, problem.InvalidRequest.Problem(faults[0].Location+" "+faults[0].Message, faults...)
	}
	return p, nil
}

// A Statement is the accounting of one patient, the newest disclosure first.
type Statement struct {
	PatientID, Patient string
	Period
	Rows []Row
}

// Accounted counts the rows that are not exempt.
func (s Statement) Accounted() (n int) {
	for _, r := range s.Rows {
		if r.Exempt == "" {
			n++
		}
	}
	return n
}

// A Row is one disclosure. Seq is its event.
type Row struct {
	Seq     uint64
	Time    time.Time
	To      string // the name of who received it
	ID      string // portal user or staff id; "" for a person outside
	Address string // "" if it is not known
	What    string
	Purpose string
	// Exempt is why the accounting need not have it; "": it must.
	Exempt string
	// MessageID is the message that it is about; uuid.Nil for none or several.
	MessageID uuid.UUID
	// PortalUserID is the recipient of the message; "" for none or several.
	PortalUserID string
}

// Why a disclosure is exempt, with the place in the law.
const (
	toPatient        = "To the individual: 45 CFR 164.528(a)(1)(ii)"
	toRepresentative = "To the individual’s representative, who counts as the individual: 45 CFR 164.528(a)(1)(ii), 164.502(g)"
	byAuthorization  = "With the individual’s authorization: 45 CFR 164.528(a)(1)(iv)"
	forOperations    = "For treatment, payment or operations: 45 CFR 164.528(a)(1)(i)"
	byStaff          = "Used by the clinic’s own staff: 45 CFR 164.528(a)(1)(i)"
)

// Of makes the accounting, in the language of ctx. It records that who read it, before it returns.
func (a *Accounts) Of(ctx context.Context, who query.Actor, patient string, p Period) (Statement, error) {
	found, err := directory.PatientByID(ctx, a.cfg.Pool, patient)
	if errors.Is(err, directory.ErrNotFound) {
		return Statement{}, ErrNoPatient
	}
	if err != nil {
		return Statement{}, err
	}
	s := Statement{PatientID: found.ID, Patient: found.Name, Period: p, Rows: []Row{}}
	all, err := a.cfg.Record.Accounting(ctx, who, found.ID, p.First, p.Last.AddDate(0, 0, 1))
	if err != nil {
		return Statement{}, err
	}
	if err := a.deliveries(ctx, &s, all.Deliveries); err != nil {
		return Statement{}, err
	}
	for _, d := range all.Disclosed {
		s.Rows = append(s.Rows, disclosed(language.From(ctx), d))
	}
	if err := a.uses(ctx, &s, all); err != nil {
		return Statement{}, err
	}
	slices.SortStableFunc(s.Rows, func(a, b Row) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Seq, a.Seq)) })
	return s, nil
}

// deliveries adds the messages in the portal. The purpose of each is that of the portal.
func (a *Accounts) deliveries(ctx context.Context, s *Statement, all []query.Disclosure) error {
	l := language.From(ctx)
	documents, err := a.documents(ctx, all)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, d := range all {
		if _, known := names[d.PortalUserID]; !known {
			u, err := directory.PortalUserByID(ctx, a.cfg.Pool, d.PortalUserID)
			if err != nil && !errors.Is(err, directory.ErrNotFound) {
				return err
			}
			names[d.PortalUserID] = cmp.Or(u.Name, d.PortalUserID)
		}
		row := Row{Seq: d.Seq, Time: d.DeliveredAt, To: names[d.PortalUserID], ID: d.PortalUserID, MessageID: d.MessageID, PortalUserID: d.PortalUserID,
			Address: l.Text("Through the portal"), What: l.Text("A message"), Purpose: l.Text("Message from the clinic to the recipient"), Exempt: toRepresentative}
		if n := documents[d.MessageID]; n > 0 {
			row.What = l.Count(n, "A message with {n} document", "A message with {n} documents")
		}
		if slices.ContainsFunc(d.Authority, func(l events.Link) bool { return l.Relationship == directory.Self }) {
			row.Exempt = toPatient
		}
		row.Exempt = l.Text(row.Exempt)
		switch {
		case d.ReadableAt == nil:
			row.What += l.Text(", which can't be read yet: no e-mail address, and no password")
		case d.ReadableAt.After(d.DeliveredAt):
			row.What += l.Text(", which could be read since {time}", "time", stamp(*d.ReadableAt))
		}
		switch {
		case d.OpenedAt != nil:
			row.What += l.Text(", opened {time}", "time", stamp(*d.OpenedAt))
		case d.RecalledAt != nil:
			row.What += l.Text(", recalled unopened {time}", "time", stamp(*d.RecalledAt))
		default:
			row.What += l.Text(", not opened")
		}
		if d.Matter.Basis == matter.NotStated && len(d.Matter.IDs()) > 1 {
			row.What += l.Text(". It does not state which patient of the recipient it concerns")
		}
		s.Rows = append(s.Rows, row)
	}
	return nil
}

func stamp(t time.Time) string { return zone.In(t).Format("2006-01-02 15:04:05 UTC-07:00") }

// documents counts the documents of each message that has some.
func (a *Accounts) documents(ctx context.Context, all []query.Disclosure) (map[uuid.UUID]int, error) {
	var ids []uuid.UUID
	for _, d := range all {
		ids = append(ids, d.MessageID)
	}
	rows, err := a.cfg.Pool.Query(ctx, `SELECT message_id, jsonb_array_length(attachments) FROM record.messages
		WHERE message_id = ANY($1) AND jsonb_array_length(attachments) > 0`, ids)
	with := map[uuid.UUID]int{}
	if err == nil {
		var id uuid.UUID
		var n int
		_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error { with[id] = n; return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("reading the messages: %w", err)
	}
	return with, nil
}

// disclosed describes a bundle for a person outside.
func disclosed(l language.Language, d query.Recorded[events.DeliveryDisclosed]) Row {
	what := l.Text("The evidence of the delivery of a message, without its content")
	switch {
	case d.Body.Content && d.Body.Documents > 0:
		what = l.Count(d.Body.Documents, "The evidence of the delivery of a message, with its text and {n} document", "The evidence of the delivery of a message, with its text and {n} documents")
	case d.Body.Content:
		what = l.Text("The evidence of the delivery of a message, with its text")
	}
	return Row{Seq: d.Seq, Time: d.Time, To: d.Body.To, Address: d.Body.Address, What: what, Purpose: d.Body.Purpose,
		MessageID: d.Body.MessageID, PortalUserID: d.Body.PortalUserID,
		Exempt: l.Text(map[events.DisclosureBasis]string{events.ToPatient: toPatient, events.ByAuthorization: byAuthorization, events.ForOperations: forOperations}[d.Body.Basis])}
}

// uses adds what the clinic's own staff exported, and read by emergency access.
func (a *Accounts) uses(ctx context.Context, s *Statement, all query.Accounting) error {
	l := language.From(ctx)
	clinic, exempt := l.Text("At the clinic"), l.Text(byStaff)
	var ids []string
	for _, x := range all.Exported {
		ids = append(ids, strings.TrimPrefix(x.Actor, "staff:"))
	}
	for _, u := range all.Emergencies {
		ids = append(ids, u.StaffID)
	}
	names := map[string]string{}
	rows, err := a.cfg.Pool.Query(ctx, `SELECT staff_id, name FROM record.staff WHERE staff_id = ANY($1)`, ids)
	if err == nil {
		var id, name string
		_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil })
	}
	if err != nil {
		return fmt.Errorf("naming staff: %w", err)
	}
	for _, x := range all.Exported {
		id := strings.TrimPrefix(x.Actor, "staff:")
		row := Row{Seq: x.Seq, Time: x.Time, To: cmp.Or(names[id], x.Actor), ID: id, Address: clinic,
			What: l.Count(x.Body.Events, "An export of {n} event of the record ({format}), without the content of messages",
				"An export of {n} events of the record ({format}), without the content of messages", "format", x.Body.Format),
			Purpose: l.Text("Work with the record"), Exempt: exempt}
		if x.Body.Filter.MessageID != nil {
			row.MessageID = *x.Body.Filter.MessageID
		}
		s.Rows = append(s.Rows, row)
	}
	for _, u := range all.Emergencies {
		row := Row{Seq: u.Seq, Time: u.Time, To: cmp.Or(names[u.StaffID], u.StaffID), ID: u.StaffID, Address: clinic, Purpose: l.Text("Emergency access: {reason}", "reason", u.Reason), Exempt: exempt,
			What: map[events.EmergencyWhat]string{events.ReadContent: l.Text("The content of a message"), events.ReadDocument: l.Text("A document of a message"),
				events.ReadDisclosures: l.Text("The list of messages about the individual")}[u.What]}
		if u.MessageID != nil {
			row.MessageID = *u.MessageID
		}
		s.Rows = append(s.Rows, row)
	}
	return nil
}

// Columns are the columns of the CSV file; docs/record.md describes them.
var Columns = []string{"time", "to", "address", "what", "purpose", "exempt", "event", "message_id"}

// WriteCSV writes the accounting as RFC 4180, UTF-8 with a byte order mark, so that spreadsheets
// read names as they are. No cell is read as a formula.
func (s Statement) WriteCSV(w io.Writer) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return fmt.Errorf("writing an accounting: %w", err)
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	_ = out.Write(Columns) // Error returns it
	for _, r := range s.Rows {
		message := ""
		if r.MessageID != uuid.Nil {
			message = r.MessageID.String()
		}
		_ = out.Write([]string{r.Time.UTC().Format(time.RFC3339), export.EscapeFormula(r.To), export.EscapeFormula(r.Address), export.EscapeFormula(r.What),
			export.EscapeFormula(r.Purpose), export.EscapeFormula(r.Exempt), strconv.FormatUint(r.Seq, 10), message})
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing an accounting: %w", err)
	}
	return nil
}
