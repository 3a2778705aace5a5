package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/text/folding"
	"postern/internal/web/page"
)

// staffList is the data of the list of staff.
type staffList struct {
	Query        string
	All          int // number of staff who match the search
	Rows         []staffRow
	Newer, Older string
}

type staffRow struct {
	access.Staff
	May []string // the names of the permissions
}

// staff lists all staff by name. They are few, so each page is a slice of the whole list.
func (p *Pages) staff(w http.ResponseWriter, r *http.Request) error {
	all, err := p.Gate.ListStaff(r.Context())
	if err != nil {
		return err
	}
	list := staffList{Query: strings.TrimSpace(r.FormValue("q"))}
	var found []staffRow
	for _, s := range all {
		if list.Query == "" || folding.Mentions(s.Name+" "+s.Email, list.Query) {
			found = append(found, staffRow{s, policy.Names(s.Permissions)})
		}
	}
	from := min(page.Number(r, "from", 0, len(found)), len(found))
	list.All, list.Rows = len(found), found[from:min(from+perPage, len(found))]
	if from > 0 {
		list.Newer = address(r, "from", strconv.Itoa(max(from-perPage, 0)))
	}
	if from+perPage < len(found) {
		list.Older = address(r, "from", strconv.Itoa(from+perPage))
	}
	return p.Render(w, r, set, page.View{Template: "staff.html", Title: "Staff", Section: section, Data: list})
}

// address returns the address of the request with one query parameter changed. The
// values "" and "0" remove the parameter.
func address(r *http.Request, name, value string) string {
	q := r.URL.Query()
	if q.Set(name, value); value == "" || value == "0" {
		q.Del(name)
	}
	return (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).RequestURI()
}

// newStaffForm is the form to add a staff member, as typed. It never holds the password.
type newStaffForm struct{ Name, Email string }

func (p *Pages) newStaff(w http.ResponseWriter, r *http.Request) error {
	return p.renderNewStaff(w, r, newStaffForm{}, nil)
}

func (p *Pages) renderNewStaff(w http.ResponseWriter, r *http.Request, n newStaffForm, errs page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "new_staff.html", Title: "Add a staff member", Section: section, Data: n, Errors: errs})
}

// addStaff creates a staff member without permissions, and redirects to the page where
// permissions are given.
func (p *Pages) addStaff(w http.ResponseWriter, r *http.Request) error {
	n := newStaffForm{r.PostFormValue("name"), r.PostFormValue("email")}
	wanted := access.NewStaff{Email: n.Email, Name: n.Name, Password: r.PostFormValue("password")}
	errs, err := wrongStaff(wanted.Check())
	if wanted.Password == "" {
		errs = append(errs, page.Error{Field: "password", Message: limits.Fill("Enter a first password of at least {StaffPassword}")})
	}
	if err == nil && len(errs) == 0 {
		var made access.Staff
		made, err = p.Gate.CreateStaff(r.Context(), page.Subject(r).Actor(), wanted)
		if err == nil {
			return p.Redirect(w, r, "/administration/staff/"+made.ID, "The staff member was added. Choose their permissions below.")
		}
		errs, err = wrongStaff(err)
	}
	if err != nil {
		return err
	}
	return p.renderNewStaff(w, r, n, errs)
}

// wrongStaff converts the faults of a new staff member to errors of the form. It
// returns any other error unchanged.
func wrongStaff(err error) (errs page.Errors, other error) {
	known := []struct {
		err            error
		field, message string
	}{
		{access.ErrName, "name", fmt.Sprintf("Enter a name of 1 to %d visible characters", int(limits.StaffName))},
		{access.ErrEmail, "email", ""},
		{access.ErrStaffExists, "email", "A staff member with this e-mail address already exists. Enter another address, or find the staff member in the list"},
		{passwords.ErrRefused, "password", ""},
	}
	for _, one := range page.Joined(err) {
		i := slices.IndexFunc(known, func(k struct {
			err            error
			field, message string
		}) bool {
			return errors.Is(one, k.err)
		})
		if i < 0 {
			return nil, err
		}
		errs = append(errs, page.Error{Field: known[i].field, Message: cmp.Or(known[i].message, sentence(one))})
	}
	return errs, nil
}

// sentence returns the text of an error for people with a capital letter, without a full stop.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
