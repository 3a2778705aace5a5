package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/web/page"
)

// staffInfo is what Staff Info shows of a staff member.
type staffInfo struct {
	access.Staff
	// Seen are the permissions held when the page was drawn. They come back with
	// the form, so that it undoes nothing that somebody else has changed meanwhile.
	Seen   string
	Boxes  []box
	Myself bool
	// Waiting is how many messages they have scheduled that have not gone out.
	Waiting int
}

// box is the checkbox of a permission.
type box struct {
	permission
	Field  string // its id
	Ticked bool
	News   string // what somebody else made of it meanwhile, "" for nothing
}

// fieldOf is the id of a permission's checkbox.
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

// renderStaffInfo shows a staff member with the boxes of ticked ticked. What
// somebody else has changed since seen is said; nil is since just now.
func (p *Pages) renderStaffInfo(w http.ResponseWriter, r *http.Request, staff access.Staff, ticked, seen []policy.Permission, errs page.Errors) error {
	words, err := p.words(r)
	if err != nil {
		return err
	}
	info := staffInfo{Staff: staff, Seen: joined(staff.Permissions), Myself: staff.ID == page.Subject(r).ID}
	if info.Waiting, err = p.Composer.Waiting(r.Context(), staff.ID); err != nil {
		return err
	}
	for _, one := range words {
		b := box{permission: one, Field: fieldOf(one.Permission), Ticked: slices.Contains(ticked, one.Permission)}
		held, was := slices.Contains(staff.Permissions, one.Permission), slices.Contains(seen, one.Permission)
		switch {
		case seen == nil || held == was:
		case held:
			b.News = "Somebody else has given this meanwhile."
		default:
			b.News = "Somebody else has taken this away meanwhile."
		}
		info.Boxes = append(info.Boxes, b)
	}
	return p.Render(w, r, set, page.View{Template: "staff_info.html", Title: "Staff Info", Section: section, Data: info, Errors: errs})
}

// changePermissions makes the permissions of a staff member those that are ticked.
func (p *Pages) changePermissions(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := r.ParseForm(); err != nil {
		return err
	}
	ticked, seen := known(r.PostForm["permission"]), known(strings.Split(r.PostFormValue("seen"), ","))
	failure := p.Gate.Reconsider(r.Context(), page.Subject(r).Actor(), id, seen, ticked)
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
			Message: "This is the last staff member with Manage Staff. Give it to somebody else first"}})
	case errors.Is(failure, access.ErrPermissionsChanged):
		// What both did comes together; what each did is said.
		given, taken := difference(ticked, seen), difference(seen, ticked)
		both := append(difference(staff.Permissions, taken), given...)
		return p.renderStaffInfo(w, r, staff, both, seen, page.Errors{{Field: "permissions",
			Message: "Somebody else has changed these permissions meanwhile. Look at them again, and save again if they are right"}})
	}
	return failure
}

// permissionsChanged says what changed. Who took Manage Staff from themselves can't
// come back here.
func (p *Pages) permissionsChanged(w http.ResponseWriter, r *http.Request, seen, ticked []policy.Permission) error {
	words, err := p.words(r)
	if err != nil {
		return err
	}
	var said []string
	if given := difference(ticked, seen); len(given) > 0 {
		said = append(said, "Given: "+words.names(given)+".")
	}
	taken := difference(seen, ticked)
	if len(taken) > 0 {
		said = append(said, "Taken away: "+words.names(taken)+".")
	}
	if len(said) == 0 {
		return p.Redirect(w, r, r.URL.Path, "Nothing was changed: these permissions were held already.")
	}
	to := r.URL.Path
	if me := page.Subject(r); me.ID == r.PathValue("id") {
		if me.Permissions = ticked; policy.Allow(me, policy.ChangeStaff) != nil {
			to = "/"
		}
	}
	return p.Redirect(w, r, to, strings.Join(said, " ")+" It is on the record, with your name.")
}

// known leaves out what is no permission.
func known(names []string) []policy.Permission {
	held := []policy.Permission{}
	for _, name := range names {
		if p, err := policy.ParsePermission(name); err == nil {
			held = append(held, p)
		}
	}
	return held
}

func joined(held []policy.Permission) string {
	names := make([]string, len(held))
	for i, p := range held {
		names[i] = string(p)
	}
	return strings.Join(names, ",")
}

// difference gives what is in all but not in some.
func difference(all, some []policy.Permission) []policy.Permission {
	return slices.DeleteFunc(slices.Clone(all), func(p policy.Permission) bool { return slices.Contains(some, p) })
}
