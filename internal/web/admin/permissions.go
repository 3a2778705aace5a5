package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// staffInfo is the data of Staff Info.
type staffInfo struct {
	access.Staff
	// Seen are the permissions held when the page was made. The form sends them back,
	// so that it does not undo changes that another staff member has made since.
	Seen   string
	Boxes  []box
	Myself bool
	State  state
	// NoLetters is set if no e-mail service is set up, so no link can be sent.
	NoLetters bool
	// Waiting is the number of their scheduled messages.
	Waiting int
	Access  staffAccess
	Factors string // the kinds of their second factors, in words
}

// box is the checkbox of a permission.
type box struct {
	policy.Grant
	Field  string // id of the checkbox
	Ticked bool
	News   string // the change that another staff member has made since, "" for none
	// Asked is set if an administrator has requested it, and another one has not approved yet.
	Asked *grant
}

// fieldOf returns the id of a permission's checkbox.
func fieldOf(p policy.Permission) string { return "permission-" + string(p) }

func (p *Pages) staffInfo(w http.ResponseWriter, r *http.Request) error {
	staff, err := p.Gate.StaffByID(r.Context(), r.PathValue("id"))
	if errors.Is(err, access.ErrNoStaff) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	return p.renderStaffInfo(w, r, staff, staff.Permissions, nil, nil)
}

// renderStaffInfo shows a staff member, with the boxes of the permissions in ticked
// ticked. It says which permissions differ from seen; nil means that there is nothing
// to compare.
func (p *Pages) renderStaffInfo(w http.ResponseWriter, r *http.Request, staff access.Staff, ticked, seen []policy.Permission, errs page.Errors) error {
	info := staffInfo{Staff: staff, Seen: policy.Join(staff.Permissions), Myself: staff.ID == page.Subject(r).ID,
		State: p.stateOf(staff), NoLetters: !p.Letters.Enabled(), Factors: factorsText(r, staff.FactorNames())}
	var err error
	if info.Waiting, err = p.Composer.Waiting(r.Context(), staff.ID); err != nil {
		return err
	}
	if info.Access, err = p.staffAccess(r.Context(), staff.ID); err != nil {
		return err
	}
	open, err := p.Gate.OpenGrantsOf(r.Context(), staff.ID)
	if err != nil {
		return err
	}
	asked, err := p.withNames(r, open)
	if err != nil {
		return err
	}
	for _, grant := range policy.Grants {
		grant.Allows, grant.Caution = page.T(r, grant.Allows), page.T(r, grant.Caution)
		b := box{Grant: grant, Field: fieldOf(grant.Permission), Ticked: slices.Contains(ticked, grant.Permission)}
		held, was := slices.Contains(staff.Permissions, grant.Permission), slices.Contains(seen, grant.Permission)
		switch {
		case seen == nil || held == was:
		case held:
			b.News = language.Mark("Another staff member has just given this permission.")
		default:
			b.News = language.Mark("Another staff member has just taken this permission away.")
		}
		for i := range asked {
			if asked[i].Permission == b.Permission {
				b.Asked = &asked[i]
			}
		}
		info.Boxes = append(info.Boxes, b)
	}
	return p.Render(w, r, set, page.View{Template: "staff_info.html", Title: "Staff Info", Section: section, Data: info, Errors: errs})
}

// changePermissions sets the permissions of a staff member to the ticked ones.
func (p *Pages) changePermissions(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := r.ParseForm(); err != nil {
		return err
	}
	ticked, seen := known(r.PostForm["permission"]), known(strings.Split(r.PostFormValue("seen"), ","))
	failure := p.Gate.SetPermissionsIfUnchanged(r.Context(), page.Subject(r).Actor(), id, seen, ticked)
	if failure == nil {
		return p.permissionsChanged(w, r, seen, ticked)
	}
	staff, err := p.Gate.StaffByID(r.Context(), id)
	switch {
	case errors.Is(err, access.ErrNoStaff):
		return p.NotFound(w, r)
	case err != nil:
		return err
	case errors.Is(failure, access.ErrLastAdministrator):
		return p.renderStaffInfo(w, r, staff, ticked, nil, page.Errors{{Field: fieldOf(policy.ManageStaff),
			Message: page.T(r, "This is the only staff member with {permission}. Give it to another staff member first", "permission", policy.ManageStaff.Name())}})
	case errors.Is(failure, access.ErrPermissionsChanged):
		// The form shows both administrators' changes together, and names the other one's.
		given, taken := difference(ticked, seen), difference(seen, ticked)
		both := append(difference(staff.Permissions, taken), given...)
		return p.renderStaffInfo(w, r, staff, both, seen, page.Errors{{Field: "permissions",
			Message: "Another staff member has just changed these permissions. Check them, and save again if they are right"}})
	}
	return failure
}

// permissionsChanged redirects with a notice about the changes. A reader who took
// Manage Staff from themselves can't open this page any more, and goes to the first
// page.
func (p *Pages) permissionsChanged(w http.ResponseWriter, r *http.Request, seen, ticked []policy.Permission) error {
	staff, err := p.Gate.StaffByID(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	var said []string
	added := difference(ticked, seen)
	requested := difference(added, staff.Permissions)
	if given := difference(added, requested); len(given) > 0 {
		said = append(said, page.T(r, "Given: {permissions}.", "permissions", strings.Join(policy.Names(given), ", ")))
	}
	if len(requested) > 0 {
		said = append(said, page.T(r, "Requested: {permissions}. Another administrator has to approve, at Permission requests.", "permissions", strings.Join(policy.Names(requested), ", ")))
	}
	taken := difference(seen, ticked)
	if len(taken) > 0 {
		said = append(said, page.T(r, "Taken away: {permissions}.", "permissions", strings.Join(policy.Names(taken), ", ")))
	}
	if len(said) == 0 {
		return p.Redirect(w, r, r.URL.Path, "Nothing was changed: they already have these permissions.")
	}
	to := r.URL.Path
	if me := page.Subject(r); me.ID == r.PathValue("id") {
		if me.Permissions = staff.Permissions; policy.Allow(me, policy.ChangeStaff) != nil {
			to = "/"
		}
	}
	said = append(said, page.T(r, "This is recorded with your name."))
	return p.Redirect(w, r, to, strings.Join(said, " "))
}

// factorsText writes the names of kinds of second factors: "an authenticator app and passkeys".
func factorsText(r *http.Request, names []string) string {
	l := language.From(r.Context())
	translated := make([]string, len(names))
	for i, name := range names {
		translated[i] = l.Text(name)
	}
	return l.List(translated)
}

// known returns the valid permissions among names.
func known(names []string) []policy.Permission {
	held := []policy.Permission{}
	for _, name := range names {
		if p, err := policy.ParsePermission(strings.TrimSpace(name)); err == nil {
			held = append(held, p)
		}
	}
	return held
}

// difference returns the elements of all that are not in some.
func difference(all, some []policy.Permission) []policy.Permission {
	return slices.DeleteFunc(slices.Clone(all), func(p policy.Permission) bool { return slices.Contains(some, p) })
}
