package admin

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/text/folding"
	"postern/internal/text/language"
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
	State state
	May   []string // the names of the permissions
}

// stateOf returns the state of a staff account in words.
func (p *Pages) stateOf(s access.Staff) state {
	switch p.Gate.StateOf(s) {
	case access.StaffDisabled:
		return state{language.Mark("Disabled"), "red"}
	case access.StaffInvited:
		return state{language.Mark("Invited"), "purple"}
	case access.StaffInvitationExpired:
		return state{language.Mark("Invitation expired"), "orange"}
	}
	return state{language.Mark("Active"), "green"}
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
			found = append(found, staffRow{s, p.stateOf(s), policy.Names(s.Permissions)})
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

// staffForm is the form with the name and e-mail address of a staff member, as typed.
type staffForm struct{ ID, Name, Email string }

func (p *Pages) newStaff(w http.ResponseWriter, r *http.Request) error {
	return p.renderNewStaff(w, r, staffForm{}, nil)
}

func (p *Pages) renderNewStaff(w http.ResponseWriter, r *http.Request, n staffForm, errs page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "new_staff.html", Title: "Add a staff member", Section: section, Data: n, Errors: errs})
}

// addStaff creates a staff member without permissions, sends them the link with which they
// choose a password, and redirects to the page where permissions are given.
func (p *Pages) addStaff(w http.ResponseWriter, r *http.Request) error {
	n := staffForm{Name: r.PostFormValue("name"), Email: r.PostFormValue("email")}
	made, err := p.Gate.CreateStaff(r.Context(), page.Subject(r).Actor(), access.NewStaff{Email: n.Email, Name: n.Name, Invited: true})
	if err != nil {
		errs, err := wrongStaff(r, err)
		if err != nil {
			return err
		}
		return p.renderNewStaff(w, r, n, errs)
	}
	notice := language.Mark("The staff member was added, and an e-mail with a link to choose a password is on its way. Choose their permissions below.")
	switch err := p.Letters.InviteStaff(r.Context(), page.Subject(r), made.ID); {
	case errors.Is(err, letter.ErrOff), errors.Is(err, letter.ErrNotSent):
		notice = language.Mark("The staff member was added, but the e-mail with the link could not be sent: see Signing in below.")
	case err != nil:
		return err
	}
	return p.Redirect(w, r, "/administration/staff/"+made.ID, notice)
}

// inviteStaff sends a staff member the link with which they set a first or a new password.
func (p *Pages) inviteStaff(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	err := p.Letters.InviteStaff(r.Context(), page.Subject(r), id)
	switch {
	case err == nil:
		return p.Redirect(w, r, "/administration/staff/"+id, "The e-mail with the link is on its way. Earlier links no longer work. This is recorded with your name.")
	case errors.Is(err, access.ErrNoStaff):
		return p.NotFound(w, r)
	case errors.Is(err, letter.ErrNotSent):
		return p.refuseSignIn(w, r, id, "link", language.Mark("The e-mail could not be sent, and earlier links no longer work. Try again in a minute"))
	case errors.Is(err, letter.ErrOff), errors.Is(err, access.ErrOwnLink), errors.Is(err, access.ErrDisabled):
		return p.refuseSignIn(w, r, id, "sign-in", sentence(r, err))
	}
	return err
}

// refuseSignIn shows Staff Info with an error in the section about signing in.
func (p *Pages) refuseSignIn(w http.ResponseWriter, r *http.Request, id, field, message string) error {
	staff, err := p.Gate.StaffByID(r.Context(), id)
	if err != nil {
		return err
	}
	return p.renderStaffInfo(w, r, staff, staff.Permissions, nil, page.Errors{{Field: field, Message: message}})
}

func (p *Pages) editStaff(w http.ResponseWriter, r *http.Request) error {
	staff, err := p.Gate.StaffByID(r.Context(), r.PathValue("id"))
	if errors.Is(err, access.ErrNoStaff) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	return p.renderEditStaff(w, r, staffForm{staff.ID, staff.Name, staff.Email}, nil)
}

// editForm is the data of the page that changes a name and an e-mail address.
type editForm struct {
	staffForm
	Myself bool // they can't change their own address
}

func (p *Pages) renderEditStaff(w http.ResponseWriter, r *http.Request, form staffForm, errs page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "edit_staff.html", Title: "Change name or e-mail address", Section: section,
		Data: editForm{form, form.ID == page.Subject(r).ID}, Errors: errs})
}

// changeStaff changes a name and an e-mail address, and tells the former address.
func (p *Pages) changeStaff(w http.ResponseWriter, r *http.Request) error {
	form := staffForm{r.PathValue("id"), r.PostFormValue("name"), r.PostFormValue("email")}
	change := access.StaffChange{Name: &form.Name}
	if r.PostForm.Has("email") {
		change.Email = &form.Email
	}
	former, err := p.Gate.ChangeStaff(r.Context(), page.Subject(r).Actor(), form.ID, change)
	if errors.Is(err, access.ErrNoStaff) {
		return p.NotFound(w, r)
	}
	if err != nil {
		errs, err := wrongStaff(r, err)
		if err != nil {
			return err
		}
		return p.renderEditStaff(w, r, form, errs)
	}
	notice := language.Mark("Saved. This is recorded with your name.")
	if former != "" {
		notice = language.Mark("Saved. They are signed out, and sign in with the new e-mail address. The former one was told. This is recorded with your name.")
		if !p.Letters.TellFormerAddress(r.Context(), form.ID, former) {
			notice = language.Mark("Saved. They are signed out, and sign in with the new e-mail address. No e-mail could be sent to the former one: tell them yourself. This is recorded with your name.")
		}
	}
	return p.Redirect(w, r, "/administration/staff/"+form.ID, notice)
}

// wrongStaff converts the faults of a name and an e-mail address to errors of the form. It
// returns any other error unchanged.
func wrongStaff(r *http.Request, err error) (errs page.Errors, other error) {
	known := []struct {
		err            error
		field, message string
	}{
		{access.ErrName, "name", page.T(r, "Enter a name of 1 to {n} visible characters", "n", int(limits.StaffName))},
		{access.ErrEmail, "email", ""},
		{access.ErrStaffExists, "email", language.Mark("A staff member with this e-mail address already exists. Enter another address, or find the staff member in the list")},
		{access.ErrOwnAddress, "email", ""},
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
		errs = append(errs, page.Error{Field: known[i].field, Message: cmp.Or(known[i].message, sentence(r, one))})
	}
	return errs, nil
}

// sentence returns the text of an error for people in the language of the reader, without a full stop.
func sentence(r *http.Request, err error) string {
	return strings.TrimSuffix(page.Say(r, err), ".")
}
