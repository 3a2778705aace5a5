package admin

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/problem"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

const invitationsAt = "/directory/invitations"

// invitationRoutes are the addresses at which staff invite many portal users.
func (p *Pages) invitationRoutes() []page.Route {
	route := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.Invite), Handle: handle}
	}
	return []page.Route{
		route("GET "+invitationsAt, p.invitations),
		route("GET "+invitationsAt+"/new", p.askInvitations),
		route("POST "+invitationsAt+"/new", p.askInvitations), // with the ids of people, which are in no address
		route("POST "+invitationsAt, p.startInvitations),
		route("GET "+invitationsAt+"/{id}", p.showInvitations),
		route("POST "+invitationsAt+"/{id}/cancel", p.cancelInvitations),
	}
}

// left is a number of people who get no invitation, and why.
type left struct {
	Text  string
	Count int
}

// skipWords are the reasons why someone gets no invitation, as of whom "2 people" is said.
var skipWords = map[string]string{
	access.SkipInactive:  language.Mark("The account is not active"),
	access.SkipAccount:   language.Mark("Has an account already"),
	access.SkipNoAddress: language.Mark("No e-mail address"),
	access.SkipDead:      language.Mark("The e-mail address does not work"),
	access.SkipLately:    language.Mark("Was invited within the last 24 hours"),
	access.SkipCrowded:   language.Mark("Too many accounts use the same e-mail address"),
	access.SkipChanged:   language.Mark("The e-mail address changed less than a day ago"),
}

func leftOut(skipped map[string]int) (all []left) {
	for why, n := range skipped {
		all = append(all, left{cmp.Or(skipWords[why], language.Mark("Left out")), n})
	}
	slices.SortFunc(all, func(a, b left) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text)) })
	return all
}

// invitationList is the data of the page of runs.
type invitationList struct {
	Rows  []access.InvitationRun
	Names map[string]string // of those who started them
	Off   bool              // no e-mail service is set up
}

func (p *Pages) invitations(w http.ResponseWriter, r *http.Request) error {
	runs, err := p.Gate.InvitationRuns(r.Context(), perPage)
	if err != nil {
		return err
	}
	data := invitationList{Rows: runs, Names: map[string]string{}, Off: !p.Letters.Enabled()}
	for _, run := range runs {
		if data.Names[run.StartedBy], err = p.nameOf(r, run.StartedBy); err != nil {
			return err
		}
	}
	return p.Render(w, r, set, page.View{Template: "invitations.html", Title: "Invitations", Section: section, Data: data})
}

// nameOf returns the name of a staff member, or the actor itself.
func (p *Pages) nameOf(r *http.Request, actor string) (string, error) {
	const staff = "staff:"
	if len(actor) <= len(staff) || actor[:len(staff)] != staff {
		return actor, nil
	}
	found, err := p.Gate.StaffByID(r.Context(), actor[len(staff):])
	if errors.Is(err, access.ErrNoStaff) {
		return actor, nil
	}
	return found.Name, err
}

// asking is the data of the page that asks before a run.
type asking struct {
	access.Invitees
	Invited int
	Left    []left
	Off     bool
}

// askInvitations says whom a run would invite, and whom not.
func (p *Pages) askInvitations(w http.ResponseWriter, r *http.Request) error {
	who := invitees(r)
	if !who.Everyone && len(who.IDs) == 0 {
		return p.Redirect(w, r, "/directory/portal-users", "Tick the people to invite.")
	}
	err := p.renderAsking(w, r, who)
	if known := problem.Of(err); known != nil && known.Kind == problem.InvalidRequest { // too many, or gone
		return p.Redirect(w, r, "/directory/portal-users", "Some of these people are no longer in the directory, or there are too many of them. Tick the people to invite.")
	}
	return err
}

func (p *Pages) renderAsking(w http.ResponseWriter, r *http.Request, who access.Invitees) error {
	invited, skipped, err := p.Gate.CountInvitees(r.Context(), who)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "invite.html", Title: "Invite", Section: section,
		Data: asking{who, invited, leftOut(skipped), !p.Letters.Enabled()}})
}

// invitees returns the people of the form: those who are ticked, or all without an account.
func invitees(r *http.Request) access.Invitees {
	if r.Method == http.MethodGet || r.PostFormValue("all") == "true" {
		return access.Invitees{Everyone: true}
	}
	return access.Invitees{IDs: slices.Compact(slices.Sorted(slices.Values(r.PostForm["id"])))}
}

func (p *Pages) startInvitations(w http.ResponseWriter, r *http.Request) error {
	_ = r.PostFormValue("all") // parses the form
	who := invitees(r)
	if !p.Letters.Enabled() {
		return p.renderAsking(w, r, who) // the page says so
	}
	run, err := p.Gate.StartInvitationsFor(r.Context(), page.Subject(r), who)
	if known := problem.Of(err); known != nil && known.Kind == problem.InvalidRequest {
		if errors.Is(err, access.ErrNoOneToInvite) {
			return p.renderAsking(w, r, who) // the page says that no one can be invited
		}
		return p.Redirect(w, r, "/directory/portal-users", "Tick the people to invite.")
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, invitationsAt+"/"+run.String(), "")
}

// inviting is the data of the page of a run.
type inviting struct {
	access.InvitationRun
	Path    string
	By      string
	Percent int
	Left    []left
	Running bool
}

// showInvitations shows the progress of a run. While it runs, a script requests a part of the page;
// when it has ended, the answer redirects to the whole page.
func (p *Pages) showInvitations(w http.ResponseWriter, r *http.Request) error {
	run, err := p.runOf(r)
	if errors.Is(err, access.ErrNoRun) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	data := inviting{InvitationRun: run, Path: invitationsAt + "/" + run.ID.String(), Left: leftOut(run.Skipped), Running: run.Status == "running",
		Percent: (run.People - run.Waiting) * 100 / run.People}
	if data.By, err = p.nameOf(r, run.StartedBy); err != nil {
		return err
	}
	view := page.View{Template: "invitation_run.html", Title: "Invitations", Section: section, Data: data}
	switch {
	case !page.IsFragment(r):
		return p.Render(w, r, set, view)
	case data.Running:
		return p.Fragment(w, r, set, "inviting", view)
	}
	return p.Redirect(w, r, data.Path, "")
}

func (p *Pages) runOf(r *http.Request) (access.InvitationRun, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return access.InvitationRun{}, access.ErrNoRun
	}
	return p.Gate.InvitationRun(r.Context(), id)
}

func (p *Pages) cancelInvitations(w http.ResponseWriter, r *http.Request) error {
	run, err := p.runOf(r)
	if errors.Is(err, access.ErrNoRun) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	err = p.Gate.CancelInvitations(r.Context(), page.Subject(r).Actor(), run.ID)
	if errors.Is(err, access.ErrRunEnded) {
		return p.Redirect(w, r, invitationsAt+"/"+run.ID.String(), "")
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, invitationsAt+"/"+run.ID.String(), "No more invitations are sent. Links that were sent work. This is recorded with your name.")
}
