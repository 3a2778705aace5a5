package compose

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/content/attachment"
	"postern/internal/content/message"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/limits"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// mostChips is how many of the portal users chosen one by one are shown, the last added
// ones.
const mostChips = 100

// editing is the data of a draft's page.
type editing struct {
	draft.Draft
	Page     string // id of this page: see draft.Seen
	Seen     int    // the draft's version on this page
	Conflict bool   // the draft was changed elsewhere since

	Groups    []chip
	Users     []recipient
	MoreUsers int // chosen portal users who are not in Users
	Offers    []offer
	Bcc       []chip
	Documents []message.Attachment
	Wordings  []wording.Wording // to choose from

	FindUser, FindStaff   string
	FoundUsers, FoundBccs *findings // nil: no search

	Now            time.Time // in the clinic's time zone
	Zone           string
	Twice          *draft.Twice // the two times of which the sender chooses one; nil: there is one
	Types, Accept  string
	OpenRecipients bool

	status int
}

// SavedToday reports whether the draft was saved today, so that its time needs no date.
func (e *editing) SavedToday() bool {
	return zone.In(e.SavedAt).Format(time.DateOnly) == e.Now.Format(time.DateOnly)
}

// MostSubject and MostBody are the most characters of the subject and of the text.
func (e *editing) MostSubject() int { return int(limits.Subject) }
func (e *editing) MostBody() int    { return int(limits.Body) }

// Chosen reports whether the draft is to be sent at one of the two times.
func (e *editing) Chosen(at time.Time) bool { return e.When.Offset == zone.Offset(at) }

// OffsetOf and ZoneOf name the offset and the zone of one of the two times.
func (e *editing) OffsetOf(at time.Time) string { return zone.Offset(at) }
func (e *editing) ZoneOf(at time.Time) string   { return zone.Short(at) }

// chip is a chosen person or group.
type chip struct{ ID, Name, Who string }

// recipient is a chosen portal user.
type recipient struct {
	chip
	// Only is the patient whom the message concerns, if the portal user has one; Choices are the
	// patients to pick from, if there are several.
	Only    string
	Choices []matterChoice
}

// offer is a group that the sender can choose.
type offer struct {
	Group  audiences.Group
	Name   string
	Chosen bool
}

// show answers with the page of a draft, or, for a script, with the parts that change.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, e *editing, wrong page.Errors) error {
	l, err := p.words(r)
	if err != nil {
		return err
	}
	if err := p.fill(r, l, e, wrong); err != nil {
		return err
	}
	e.OpenRecipients = e.FindUser != "" || wrong.Of("find-user") != ""
	view := page.View{Template: "edit.html", Title: l.Fill(l.Text("{Patient} Portal Message")), Section: "compose", Scripts: []string{"composing.js"}, Data: e, Errors: wrong, Status: e.status}
	if page.IsFragment(r) {
		return p.Fragment(w, r, set, "parts", view)
	}
	return p.Render(w, r, set, view)
}

// fill reads the data that the page shows besides the draft itself.
func (p *Pages) fill(r *http.Request, l words, e *editing, wrong page.Errors) (err error) {
	if e.Page == "" {
		e.Page = uuid.NewString()
	}
	if !e.Conflict {
		e.Seen = e.Version
	}
	e.Now = zone.In(p.Now())
	e.Zone = zone.Long(e.Now)
	if e.When.Later {
		e.Twice = e.When.Choice(zone.Clinic())
	}
	e.Types, e.Accept = types(l.Language), strings.Join(attachment.Extensions(), ",")
	if e.Groups, e.Users, err = p.recipientChips(r, l, e.Recipients, wrong.Of("about") != ""); err != nil {
		return err
	}
	e.MoreUsers = len(e.Recipients.PortalUserIDs) - len(e.Users)
	if policy.Allow(page.Subject(r), policy.SendToGroup) == nil {
		for _, g := range allGroups {
			e.Offers = append(e.Offers, offer{g, l.Group(string(g)), slices.Contains(e.Recipients.Groups, g)})
		}
	}
	if e.Bcc, err = p.bccChips(r, l, e.StaffBcc); err != nil {
		return err
	}
	if e.Documents, err = p.documents(r, e.AttachmentIDs); err != nil {
		return err
	}
	if e.Wordings, err = p.Wordings.List(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	return p.find(r, l, e)
}

// recipientChips names the recipients: of the portal users the last added ones or, where picks are
// missing or wrong, first those.
func (p *Pages) recipientChips(r *http.Request, l words, chosen audiences.Selection, wrong bool) (groups []chip, users []recipient, err error) {
	for _, g := range chosen.Groups {
		groups = append(groups, chip{ID: string(g), Name: l.Group(string(g))})
	}
	ids := chosen.PortalUserIDs
	if len(ids) > mostChips && wrong {
		if ids, err = p.unclearFirst(r, chosen); err != nil {
			return nil, nil, err
		}
	}
	if len(ids) > mostChips {
		ids = ids[len(ids)-mostChips:]
	}
	named, err := directory.Named(r.Context(), p.Directory, ids)
	if err != nil {
		return nil, nil, err
	}
	for _, u := range named {
		one := recipient{chip: chip{u.ID, u.Name, who(l, u, p.Now())}}
		one.Only, one.Choices = choicesOf(l, u, chosen.Picked(u.ID), p.Now())
		users = append(users, one)
	}
	return groups, users, nil
}

// bccChips names staff. Former staff members are shown too, so that they can be removed.
func (p *Pages) bccChips(r *http.Request, l words, ids []string) (chips []chip, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	staff, err := p.Gate.ListStaff(r.Context())
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		c := chip{ID: id, Name: l.Text("A former staff member")}
		if i := slices.IndexFunc(staff, func(s access.Staff) bool { return s.ID == id }); i >= 0 {
			c.Name = staff[i].Name
			if staff[i].DisabledAt != nil {
				c.Name = l.Text("{name} (disabled)", "name", c.Name)
			}
		}
		chips = append(chips, c)
	}
	return chips, nil
}

// documents lists uploads. A deleted upload is shown too, without a size, so that it
// can be removed.
func (p *Pages) documents(r *http.Request, ids []uuid.UUID) ([]message.Attachment, error) {
	found, err := p.Composer.Uploads(r.Context(), page.Subject(r), ids)
	if err != nil {
		return nil, err
	}
	all := make([]message.Attachment, len(ids))
	for i, id := range ids {
		all[i] = message.Attachment{ID: id, Name: page.T(r, "A document that no longer exists")}
		if at := slices.IndexFunc(found, func(a message.Attachment) bool { return a.ID == id }); at >= 0 {
			all[i] = found[at]
		}
	}
	return all, nil
}
