package compose

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/content/message"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// undo is how long the sender can undo, in seconds, also for a message to one person.
const undo = 10

// firstFew is the number of recipients that the page of the check lists itself.
const firstFew = 10

// checking is the data of the check before sending.
type checking struct {
	draft.Draft
	Counts    audiences.Counts
	Was       *audiences.Counts // the counts that the sender checked before, if they differ
	WasJSON   string            // Counts, for the form
	Included  []line
	Excluded  []line
	Warnings  []line
	First     []member
	MoreFirst bool
	ByPost    int // recipients without an e-mail address
	Doubtful  []doubtful
	Filled    filledIn
	Bulk      bool
	Confirm   string // as typed

	To        string
	Bcc       []chip
	Documents []message.Attachment
	Unscanned bool       // no virus scanner checked the documents
	At        *time.Time // nil: now
	Undo      int
	Sent      *uuid.UUID // the message that this draft was sent as
}

// check shows the message and its recipients before it is sent.
func (p *Pages) check(w http.ResponseWriter, r *http.Request) error {
	d, err := p.open(r)
	if err != nil {
		return err
	}
	wrong, err := p.wrong(r, d)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return p.show(w, r, &editing{Draft: d}, wrong)
	}
	return p.showCheck(w, r, &checking{Draft: d}, page.View{})
}

// wrong returns the reasons why a draft can't be sent now.
func (p *Pages) wrong(r *http.Request, d draft.Draft) (page.Errors, error) {
	l, err := p.words(r)
	if err != nil {
		return nil, err
	}
	request, wrong := requestOf(l, d)
	return wrongBecause(l, d, wrong, p.Composer.Check(r.Context(), page.Subject(r), request))
}

// requestOf converts a draft to a request of package compose. It parses the typed time,
// because compose takes a time.
func requestOf(l words, d draft.Draft) (request compose.Request, wrong page.Errors) {
	at, err := d.When.At(zone.Clinic())
	for _, one := range page.Joined(err) {
		wrong = append(wrong, whenError(l, one))
	}
	seconds := undo
	return compose.Request{Subject: d.Subject, Body: d.Body, Recipients: d.Recipients, StaffBcc: d.StaffBcc,
		AttachmentIDs: d.AttachmentIDs, SendAt: at, UndoSeconds: &seconds, MustPick: true}, wrong
}

// showCheck fills in the data of the check. The view holds the errors, if any.
func (p *Pages) showCheck(w http.ResponseWriter, r *http.Request, c *checking, view page.View) error {
	ctx, me := r.Context(), page.Subject(r)
	l, err := p.words(r)
	if err != nil {
		return err
	}
	if c.Counts, err = p.Composer.Preview(ctx, me, c.Recipients); err != nil {
		return err
	}
	first, next, err := p.Composer.Audience(ctx, me, c.Recipients, firstFew, "")
	if err != nil {
		return err
	}
	c.First, c.MoreFirst = membersOf(l, first, p.Now()), next != ""
	if c.Doubtful, err = p.doubtful(r, l, c.Recipients.PortalUserIDs); err != nil {
		return err
	}
	if c.Bcc, err = p.bccChips(r, l, c.StaffBcc); err != nil {
		return err
	}
	if c.Documents, err = p.documents(r, c.AttachmentIDs); err != nil {
		return err
	}
	c.Unscanned = !p.Composer.Scans()
	if sent, err := p.Composer.Sent(ctx, me, c.Key); err == nil {
		c.Sent = &sent
	} else if !errors.Is(err, message.ErrNotFound) {
		return err
	}
	c.words(l)
	if err := p.fillIn(r, c); err != nil {
		return err
	}
	view.Template, view.Title, view.Section, view.Data = "check.html", language.Mark("Check before you send"), "compose", c
	return p.Render(w, r, set, view)
}

// doubtful is a recipient who was chosen by hand and may be another person than the sender means.
type doubtful struct {
	Name, Who string
	Why       []string
}

// mostDoubtful is how many such recipients the check names.
const mostDoubtful = 50

func (p *Pages) doubtful(r *http.Request, l words, ids []string) (found []doubtful, err error) {
	doubts, err := directory.Doubts(r.Context(), p.Directory, ids, p.Now())
	if err != nil || len(doubts) == 0 {
		return nil, err
	}
	var about []string
	for _, d := range doubts {
		if !slices.Contains(about, d.PortalUserID) && len(about) < mostDoubtful {
			about = append(about, d.PortalUserID)
		}
	}
	users, err := directory.Named(r.Context(), p.Directory, about)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		found = append(found, doubtful{u.Name, who(l, u, p.Now()), doubtsAbout(l, doubts, u.ID)})
	}
	return found, nil
}

func (c *checking) words(l words) {
	c.Included, c.Excluded, c.Warnings = linesOf(l, included, c.Counts.Included, nil), linesOf(l, excluded, c.Counts.Excluded, nil), linesOf(l, warnings, c.Counts.Warnings, nil)
	if c.Was != nil {
		c.Included = linesOf(l, included, c.Counts.Included, c.Was.Included)
		c.Excluded = linesOf(l, excluded, c.Counts.Excluded, c.Was.Excluded)
	}
	was, _ := json.Marshal(c.Counts) // numbers and names of reasons
	c.WasJSON, c.Undo, c.Bulk, c.To = string(was), undo, len(c.Recipients.Groups) > 0, chosenInWords(l, c.Recipients)
	c.ByPost = c.Counts.Warnings[string(audiences.NoAddress)]
	c.At, _ = c.When.At(zone.Clinic())
}

// member is a recipient of the message.
type member struct{ Name, Who, Why, Concerns string }

func membersOf(l words, found []audiences.Member, now time.Time) []member {
	members := make([]member, len(found))
	for i, m := range found {
		members[i] = member{m.Name, who(l, m.PortalUser, now), why(l, m.Reason), concerns(l, m)}
	}
	return members
}

// recipients lists the recipients of a draft, a page at a time.
func (p *Pages) recipients(w http.ResponseWriter, r *http.Request) error {
	all := audience{p.Composer.Audience, func(c audiences.Counts) int { return c.Count }}
	return p.listed(w, r, all, page.View{Template: "recipients.html", Title: "Recipients"})
}

// An audience reads some of the recipients of a selection.
type audience struct {
	// page returns up to limit recipients after a cursor, and the next cursor.
	page func(ctx context.Context, staff policy.Subject, chosen audiences.Selection, limit int, cursor string) (found []audiences.Member, next string, err error)
	// total returns the number of these recipients.
	total func(audiences.Counts) int
}

// listedPart is a part of a draft's audience.
type listedPart struct {
	ID           uuid.UUID
	Members      []member
	Before       int // recipients on the pages before this one
	Total        int // 0: not known
	Newer, Older string
}

// From is the number of the page's first recipient among all, counted from 1.
func (l listedPart) From() int { return l.Before + 1 }

// To is the number of the page's last recipient.
func (l listedPart) To() int { return l.Before + len(l.Members) }

// listed shows one page of a draft's audience. The first page counts all recipients,
// which takes as long as the check, and passes the total on to the next pages.
func (p *Pages) listed(w http.ResponseWriter, r *http.Request, of audience, view page.View) error {
	d, err := p.open(r)
	if err != nil {
		return err
	}
	cursor := r.FormValue("cursor")
	found, next, err := of.page(r.Context(), page.Subject(r), d.Recipients, 2*perPage, cursor)
	if err != nil {
		return err
	}
	l, err := p.words(r)
	if err != nil {
		return err
	}
	data := listedPart{ID: d.ID, Members: membersOf(l, found, p.Now())}
	switch {
	case cursor != "":
		data.Before, data.Total = page.Number(r, "before", 0, math.MaxInt32), page.Number(r, "total", 0, math.MaxInt32)
	case len(found) > 0 || next != "":
		counts, err := p.Composer.Preview(r.Context(), page.Subject(r), d.Recipients)
		if err != nil {
			return err
		}
		data.Total = of.total(counts)
	}
	if data.Total > 0 { // includes recipients added since the count
		data.Total = max(data.Total, data.To())
	}
	if cursor != "" {
		data.Newer = r.URL.Path
	}
	if next != "" {
		data.Older = r.URL.Path + "?" + url.Values{"cursor": {next}, "before": {strconv.Itoa(data.To())}, "total": {strconv.Itoa(data.Total)}}.Encode()
	}
	view.Section, view.Data = "compose", data
	return p.Render(w, r, set, view)
}
