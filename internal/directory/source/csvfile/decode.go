// Package csvfile decodes the three CSV files patients.csv, portal_users.csv and links.csv,
// in every form in which spreadsheet programs write them. It keeps one record in memory.
package csvfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/internal/directory/field"
	"postern/internal/directory/source"
	"postern/internal/text/invisible"
	"postern/internal/text/number"
)

// csvKind is one of the three CSV files, recognized by its header.
type csvKind struct {
	name    string
	columns []string
	row     func(*csvRow, source.Sink) error
}

var csvKinds = []csvKind{
	{"links.csv", []string{"portal_user_id", "patient_id", "relationship", "from", "until"}, decodeLink},
	{"portal_users.csv", []string{"portal_user_id", "name", "email", "active"}, decodePortalUser},
	{"patients.csv", []string{"patient_id", "given_name", "family_name", "birth_date", "status", "deceased"}, decodePatient},
}

// longestRecord is the maximum size of a CSV record in bytes. Without it, a quote that
// is never closed would read the whole file into memory.
const longestRecord = 64 << 10

// endOfFile is the character at the end of a DOS text file. Some programs still write it.
const endOfFile = "\x1a"

// Decode reads one file; its header shows which. file is the number of the file in the
// places of its rows. A wrong line with correct ids still becomes a row, so that references
// from other lines to it are not reported as wrong too. It returns an error of the content's
// reader or of the sink; a line that is wrong is a fault.
func Decode(file int, content io.Reader, into source.Sink) error {
	bounded := &boundedReader{content: content, left: longestRecord}
	text, err := openCSV(bounded)
	if err != nil {
		return err
	}
	if text.refused != "" {
		into.Fault(source.Fault{Place: source.Place{File: file, Line: 1}, Reason: text.refused, Cut: true})
		return nil
	}
	reader := csv.NewReader(text.content)
	reader.Comma = text.separator
	reader.FieldsPerRecord = -1
	reader.ReuseRecord = true
	reader.TrimLeadingSpace = !invisible.IsBlank(text.separator)
	row := csvRow{Place: source.Place{File: file}, reader: reader, skipped: text.skipped}
	for {
		bounded.left = longestRecord
		record, err := reader.Read()
		var syntax *csv.ParseError
		switch {
		case err == io.EOF && row.kind == nil:
			into.Fault(source.Fault{Place: source.Place{File: file, Line: 1}, Reason: "the file is empty: it needs a header line", Cut: true})
			return nil
		case err == io.EOF:
			return nil
		case errors.As(err, &syntax):
			// After a broken quote, the rest of the file can't be split into lines.
			into.Fault(source.Fault{Place: source.Place{File: file, Line: syntax.StartLine + text.skipped}, Reason: syntaxReason(syntax, bounded.spent), Cut: true})
			return nil
		case err != nil:
			return err
		}
		row.values, row.faulty = record, false
		row.Line = row.lineOf(0)
		switch wrong := notUTF8(record); {
		case bounded.spent:
			into.Fault(source.Fault{Place: row.Place, Reason: "is longer than 64 KiB (the rest of the file was not read)", Cut: true})
			return nil
		case wrong >= 0:
			into.Fault(source.Fault{Place: source.Place{File: file, Line: row.lineOf(wrong)}, Reason: "is not UTF-8, but perhaps Windows-1252: " + saveAsCSV + " (the rest of the file was not read)", Cut: true})
			return nil
		case trim(record), len(record) == 1 && record[0] == endOfFile:
			continue // a spreadsheet's empty row, or DOS's end of a file
		case row.kind == nil:
			if !row.header(into) {
				return nil
			}
			continue
		case !row.fits():
			into.Fault(source.Fault{Place: row.Place, Reason: row.misfit()})
			continue
		}
		if err := row.kind.row(&row, into); err != nil {
			return err
		}
	}
}

func syntaxReason(err *csv.ParseError, spent bool) string {
	switch {
	case spent:
		return `is longer than 64 KiB: a quote may not be closed (the rest of the file was not read)`
	case errors.Is(err.Err, csv.ErrBareQuote):
		return `there is a quote inside a field: put the field in quotes and double each quote in it (the rest of the file was not read)`
	}
	return `a quoted field does not end with a quote: double each quote inside it and put a quote at its end (the rest of the file was not read)`
}

// csvRow is the current record.
type csvRow struct {
	source.Place
	reader *csv.Reader
	kind   *csvKind
	at     []int // the position in a record of each of the kind's columns
	width  int   // the number of columns in the header, without empty ones at its end
	values []string
	faulty bool // a fault was found in it
	// skipped is the number of lines removed before the first line that the reader sees.
	skipped int
}

// lineOf returns the line on which a field of the record begins.
func (r *csvRow) lineOf(field int) int {
	line, _ := r.reader.FieldPos(field)
	return line + r.skipped
}

// fits reports whether the record has a value for each column of the header, and only
// empty cells after them.
func (r *csvRow) fits() bool {
	return len(r.values) >= r.width && !slices.ContainsFunc(r.values[r.width:], func(v string) bool { return v != "" })
}

// misfit describes what is wrong with a record that does not fit.
func (r *csvRow) misfit() string {
	reason := fmt.Sprintf("has %s, where the header has %d", number.Of(len(r.values), "field", "fields"), r.width)
	if len(r.values) == 1 {
		reason += ", separated by " + separatorName(r.reader.Comma)
	}
	return reason
}

// header finds the kind of the file from its first record.
func (r *csvRow) header(into source.Sink) (ok bool) {
	wrong := func(reason string, args ...any) bool {
		into.Fault(source.Fault{Place: r.Place, Reason: fmt.Sprintf(reason, args...), Cut: true})
		return false
	}
	columns := make([]string, len(r.values))
	for i, name := range r.values {
		if columns[i] = columnName(name); columns[i] != "" {
			r.width = i + 1
		}
	}
	columns = columns[:r.width]
	for i := range csvKinds {
		// One column identifies each kind. The order matters: links have both ids.
		if slices.Contains(columns, []string{"relationship", "portal_user_id", "patient_id"}[i]) {
			r.kind = &csvKinds[i]
			break
		}
	}
	if separator, found := strangeSeparator(r.values); found {
		return wrong("the columns are separated by %s, which can't be read: %s", separatorName(separator), saveAsCSV)
	}
	if r.kind == nil {
		return wrong("the header is of none of the files that can be imported: it must be %s", headers())
	}
	seen := map[string]bool{}
	for _, column := range columns {
		if seen[column] {
			return wrong("the header names %s twice", printable(column))
		}
		if seen[column] = true; !slices.Contains(r.kind.columns, column) {
			return wrong("the header names %s, which %s does not have: it must be %s", printable(column), r.kind.name, strings.Join(r.kind.columns, ","))
		}
	}
	for _, column := range r.kind.columns {
		if !seen[column] {
			return wrong("the header lacks %s: the header of %s must be %s", column, r.kind.name, strings.Join(r.kind.columns, ","))
		}
		r.at = append(r.at, slices.Index(columns, column))
	}
	return true
}

// strangeSeparator finds the separator between the columns of a header that was read
// as one column.
func strangeSeparator(values []string) (separator rune, found bool) {
	header := strings.ToLower(values[0])
	if slices.ContainsFunc(values[1:], func(v string) bool { return v != "" }) {
		return 0, false
	}
	for _, kind := range csvKinds {
		named := 0
		for _, column := range kind.columns {
			rest, ok := strings.CutPrefix(header, column)
			if ok && rest != "" {
				separator, _ = utf8.DecodeRuneInString(rest)
			}
			if strings.Contains(header, column) {
				named++
			}
		}
		if named == len(kind.columns) && field.CheckID(string(separator)) != "" {
			return separator, true
		}
	}
	return 0, false
}

func headers() string {
	var all []string
	for _, kind := range csvKinds {
		all = append(all, strings.Join(kind.columns, ","))
	}
	return strings.Join(all, " or ")
}

// printable returns a column's name for an error. A file without a header has personal
// data in its first line, which must not be shown.
func printable(column string) string {
	if field.CheckID(column) != "" || strings.ContainsAny(column, "0123456789") {
		return "a column"
	}
	return "the column " + column
}

// field returns a value and reports the fault that check finds in it.
func (r *csvRow) field(i int, into source.Sink, check func(string) string) string {
	value := r.values[r.at[i]]
	r.note(i, into, check(value))
	return value
}

func (r *csvRow) note(i int, into source.Sink, reason string) {
	if reason != "" {
		r.faulty = true
		into.Fault(source.Fault{Place: source.Place{File: r.File, Line: r.lineOf(r.at[i])}, Field: r.kind.columns[i], Reason: reason})
	}
}

func (r *csvRow) bool(i int, into source.Sink) bool {
	value, reason := parseBool(r.values[r.at[i]])
	r.note(i, into, reason)
	return value
}

// oneOf returns which of two words a value is. Case does not matter.
func (r *csvRow) oneOf(i int, into source.Sink, a, b string) string {
	value := strings.ToLower(r.values[r.at[i]])
	if value != a && value != b {
		r.note(i, into, "must be "+a+" or "+b)
	}
	return value
}

func (r *csvRow) date(i int, into source.Sink) field.Date {
	value, reason := parseDate(r.values[r.at[i]])
	r.note(i, into, reason)
	return value
}

func decodePatient(r *csvRow, into source.Sink) error {
	p := source.Patient{Place: r.Place, ID: r.field(0, into, field.CheckID)}
	idIsWrong := r.faulty
	p.Given = r.field(1, into, checkText)
	p.Family = r.field(2, into, checkText)
	if p.Given == "" && p.Family == "" {
		r.note(2, into, "is missing, and so is given_name: a patient needs one of them")
	}
	p.Birth = r.date(3, into)
	p.Discharged = r.oneOf(4, into, "active", "discharged") == "discharged"
	p.Deceased = r.bool(5, into)
	switch {
	case idIsWrong:
		return nil
	case r.faulty:
		p = source.Patient{Place: p.Place, ID: p.ID}
	}
	return into.Patient(p)
}

func decodePortalUser(r *csvRow, into source.Sink) error {
	u := source.PortalUser{Place: r.Place, ID: r.field(0, into, field.CheckID)}
	idIsWrong := r.faulty
	u.Name = r.field(1, into, checkName)
	u.Email = r.field(2, into, field.CheckEmail)
	u.Active = r.bool(3, into)
	switch {
	case idIsWrong:
		return nil
	case r.faulty:
		u = source.PortalUser{Place: u.Place, ID: u.ID}
	}
	return into.PortalUser(u)
}

func decodeLink(r *csvRow, into source.Sink) error {
	l := source.Link{Place: r.Place, PortalUser: r.field(0, into, field.CheckID), Patient: r.field(1, into, field.CheckID)}
	l.Relationship = r.oneOf(2, into, field.Self, field.Representative)
	if r.faulty {
		return nil
	}
	l.From, l.Until = r.date(3, into), r.date(4, into)
	if l.From.Set && l.Until.Set && l.Until.Day < l.From.Day {
		r.note(4, into, "is before from")
	}
	if r.faulty {
		l.From, l.Until = field.Date{}, field.Date{}
	}
	return into.Link(l)
}

// boundedReader returns io.EOF when a record needs more than the bytes that are left.
// The CSV reader reads more only when its buffer does not hold the whole record.
type boundedReader struct {
	content io.Reader
	left    int
	spent   bool
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.spent = true
		return 0, io.EOF
	}
	n, err := b.content.Read(p)
	b.left -= n
	return n, err
}
