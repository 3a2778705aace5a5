package admin

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/imports"
	"postern/internal/directory/source"
	"postern/internal/directory/upload"
	"postern/internal/inbound"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// formOverhead is the size of a form without its files, in bytes.
const formOverhead = 1 << 20

// uploadBody limits an upload. A gigabyte over a slow line takes an hour or more.
var uploadBody = inbound.Body{Types: []string{inbound.Multipart, inbound.Form}, MaxBytes: int64(limits.ImportSize) + formOverhead, Memory: 8 << 20, Within: 4 * time.Hour}

// importForm is the data of the page to choose files.
type importForm struct {
	Mine   *upload.Import // the reader's present import, nil for none
	Tables []table
}

// table is a CSV file that can be imported: its columns, and what they can contain.
type table struct {
	Name    string
	Columns []string
	Values  string
}

var tables = []table{
	{"patients.csv", []string{"patient_id", "given_name", "family_name", "birth_date", "status", "deceased"},
		language.Mark("Status is active or discharged, deceased is true or false.")},
	{"portal_users.csv", []string{"portal_user_id", "name", "email", "active"},
		language.Mark("The e-mail address may be empty, active is true or false.")},
	{"links.csv", []string{"portal_user_id", "patient_id", "relationship", "from", "until"},
		language.Mark("Relationship is self or representative, the dates may be empty.")},
}

// chooseFiles shows the page to choose files, and the progress of the reader's present
// import.
func (p *Pages) chooseFiles(w http.ResponseWriter, r *http.Request) error {
	return p.renderUpload(w, r, nil)
}

func (p *Pages) renderUpload(w http.ResponseWriter, r *http.Request, errs page.Errors) error {
	data := importForm{Tables: tables}
	mine, err := p.Uploads.Of(r.Context(), page.Subject(r))
	switch {
	case err == nil && mine.State != upload.Receiving:
		data.Mine = &mine
	case err != nil && !errors.Is(err, upload.ErrNotFound):
		return err
	}
	return p.Render(w, r, set, page.View{Template: "import.html", Title: "Import", Section: section, Data: data, Errors: errs})
}

// receive stores the uploaded files, and redirects to the page with the changes that they would make.
func (p *Pages) receive(w http.ResponseWriter, r *http.Request) error {
	parts, err := r.MultipartReader()
	if err != nil {
		return p.renderUpload(w, r, page.Errors{{Field: "files", Message: "Choose the files to import"}})
	}
	id, err := p.Uploads.Receive(r.Context(), page.Subject(r), func() (string, io.Reader, error) {
		for {
			part, err := parts.NextPart()
			if err != nil {
				return "", nil, err
			}
			if part.FormName() == "files" && part.FileName() != "" { // an empty file field has no file name
				return part.FileName(), part, nil
			}
		}
	})
	if err == nil {
		return p.Redirect(w, r, "/directory/import/"+id.String(), "")
	}
	message := refusal(r, err)
	if message == "" {
		return err
	}
	// A browser shows the answer only after it has sent the whole body. Otherwise it
	// shows an error of its own.
	_, _ = io.Copy(io.Discard, r.Body)
	return p.renderUpload(w, r, page.Errors{{Field: "files", Message: message}})
}

// refusal says why an upload was refused, "" if it failed for another reason.
func refusal(r *http.Request, err error) string {
	var (
		invalid upload.Invalid
		large   *http.MaxBytesError
	)
	switch {
	case errors.As(err, &invalid):
		return page.T(r, string(invalid))
	case errors.As(err, &large):
		return page.T(r, "The files are larger than {size} together. To import larger files, use the command `postern import`", "size", language.From(r.Context()).Size(int64(limits.ImportSize)))
	case errors.Is(err, upload.ErrRunning):
		return sentence(r, upload.ErrRunning)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, inbound.ErrCut):
		return language.Mark("The upload was interrupted. Choose the files again")
	}
	return ""
}

// progress is the data of the page of an import.
type progress struct {
	upload.Import
	Path         string
	Percent      int
	Tallies      []tally
	Lines        []source.WrongLine // wrong lines on this page
	Warnings     []source.WrongLine // lines with warnings on this page
	Newer, Older string
}

// tally is the changes of an import to rows of one kind.
type tally struct {
	Name string
	imports.Changes
	Changing, Coming []shown
}

// shown is a new or changed row, with texts for people.
type shown struct {
	ID     string
	Fields []imports.FieldChange
}

// linesPerPage is the number of wrong lines on a page.
const linesPerPage = 100

// showImport shows the progress of an import. While work runs, a script requests a part
// of the page; when the work has ended, the answer redirects to the whole page.
func (p *Pages) showImport(w http.ResponseWriter, r *http.Request) error {
	found, err := p.importOf(r)
	if errors.Is(err, upload.ErrNotFound) {
		return p.Redirect(w, r, "/directory/import", "This import no longer exists: it was replaced by another, or is more than a day old. Upload the files again.")
	}
	if err != nil {
		return err
	}
	data, err := p.progressOf(r, found)
	if err != nil {
		return err
	}
	view := page.View{Template: "import_state.html", Title: "Import", Section: section, Data: data}
	switch {
	case !page.IsFragment(r):
		return p.Render(w, r, set, view)
	case found.State.Running() && !found.Interrupted:
		return p.Fragment(w, r, set, "running", view)
	}
	return p.Redirect(w, r, data.Path, "")
}

func (p *Pages) importOf(r *http.Request) (upload.Import, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return upload.Import{}, upload.ErrNotFound
	}
	return p.Uploads.Get(r.Context(), page.Subject(r), id)
}

func (p *Pages) progressOf(r *http.Request, found upload.Import) (progress, error) {
	s, err := p.speaker(r)
	if err != nil {
		return progress{}, err
	}
	data := progress{Import: found, Path: "/directory/import/" + found.ID.String()}
	if found.Total > 0 {
		data.Percent = int(found.Done * 100 / found.Total)
	}
	summary := found.Report.Summary
	for _, one := range []struct {
		kind imports.Kind
		tally
	}{
		{imports.KindPatient, tally{Name: s.Patient.Many, Changes: summary.Patients}},
		{imports.KindPortalUser, tally{Name: s.PortalUser.Many, Changes: summary.PortalUsers}},
		{imports.KindLink, tally{Name: page.T(r, "Links"), Changes: summary.Links}},
	} {
		for _, row := range found.Report.Shown {
			switch {
			case row.Kind != one.kind:
			case row.New:
				one.Coming = append(one.Coming, s.shown(row))
			default:
				one.Changing = append(one.Changing, s.shown(row))
			}
		}
		data.Tallies = append(data.Tallies, one.tally)
	}
	if found.Format == "fhir" {
		data.Tallies = append(data.Tallies, tally{Name: page.T(r, "FHIR resources"), Changes: summary.Resources})
	}
	// A refused import has wrong lines; any other has warnings.
	all, lines := found.Report.Wrong, &data.Lines
	if found.State != upload.Refused {
		all, lines = summary.Warnings, &data.Warnings
	}
	from := min(page.Number(r, "from", 0, len(all)), len(all))
	*lines = all[from:min(from+linesPerPage, len(all))]
	if from > 0 {
		data.Newer = address(r, "from", strconv.Itoa(max(from-linesPerPage, 0)))
	}
	if from+linesPerPage < len(all) {
		data.Older = address(r, "from", strconv.Itoa(from+linesPerPage))
	}
	return data, nil
}

// columns are names for people of the columns of the CSV files.
var columns = map[string]string{
	"given_name":   language.Mark("Given name"),
	"family_name":  language.Mark("Family name"),
	"birth_date":   language.Mark("Born"),
	"status":       language.Mark("Status"),
	"deceased":     language.Mark("Deceased"),
	"name":         language.Mark("Name"),
	"email":        language.Mark("E-mail address"),
	"active":       language.Mark("Active"),
	"relationship": language.Mark("Relationship"),
	"from":         language.Mark("Starting"),
	"until":        language.Mark("Until"),
}

func (s speaker) shown(row imports.Shown) shown {
	one := shown{ID: row.ID, Fields: slices.Clone(row.Fields)}
	if row.Patient != "" {
		one.ID += " → " + row.Patient
	}
	for i, f := range one.Fields {
		one.Fields[i] = imports.FieldChange{Field: s.language.Text(columns[f.Field]), From: s.value(f.Field, f.From), To: s.value(f.Field, f.To)}
	}
	return one
}

// value writes the value of a column as other pages do.
func (s speaker) value(field, value string) string {
	switch {
	case value == "":
		return ""
	case field == "birth_date" || field == "from" || field == "until":
		return s.day(value)
	case field == "relationship":
		return s.as(value)
	case field == "status":
		return s.patientStates(value, false)[0].Text
	case value == "true":
		return s.language.Text("Yes")
	case value == "false":
		return s.language.Text("No")
	}
	return value
}

// decide imports the checked files, checks them again, or discards them.
func (p *Pages) decide(w http.ResponseWriter, r *http.Request) error {
	found, err := p.importOf(r)
	to, notice := "/directory/import/"+found.ID.String(), ""
	if err == nil {
		switch staff := page.Subject(r); r.PostFormValue("do") {
		case "import":
			err = p.Uploads.Confirm(r.Context(), staff, found.ID, r.PostFormValue("digest"))
		case "check":
			err = p.Uploads.Recheck(r.Context(), staff, found.ID)
		case "discard":
			err = p.Uploads.Discard(r.Context(), staff, found.ID)
			to, notice = "/directory/import", language.Mark("The files were deleted. Nothing was imported.")
		}
	}
	switch {
	case errors.Is(err, upload.ErrNotFound):
		return p.Redirect(w, r, "/directory/import", "This import no longer exists: it was replaced by another, or is more than a day old. Upload the files again.")
	case errors.Is(err, upload.ErrStale), errors.Is(err, upload.ErrRunning):
		// The button was pressed twice, or on an old page: show the present state.
		return p.Redirect(w, r, "/directory/import/"+found.ID.String(), "")
	case err != nil:
		return err
	}
	return p.Redirect(w, r, to, notice)
}
