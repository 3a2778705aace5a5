package messages

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/messages/notice"
	"postern/internal/navigation"
	"postern/internal/web/page"
)

// noticesPerPage is the number of notices on a page, each with the reasons of its failures.
const noticesPerPage = 20

// noticed is the data of the page of notices.
type noticed struct {
	Unread bool // only those
	Rows   []noticeRow
	Newest uint64 // the sequence of the first row
	Any    bool   // the reader has unread notices, here or on other pages

	Before       uint64 // where the page starts; 0: at the newest
	First, Older string // addresses
}

// noticeRow is a notice in the list.
type noticeRow struct {
	notice.Notice
	message.Heading
	Causes []cause
}

// cause is a reason for which alerts failed.
type cause struct {
	failure
	Plan string // address of the plan of a replay of it; "" if the reader may not plan one
}

// notices lists the messages of the reader that have ended.
func (p *Pages) notices(w http.ResponseWriter, r *http.Request) error {
	l := noticed{Unread: r.FormValue("unread") != ""}
	l.Before, _ = strconv.ParseUint(r.FormValue("before"), 10, 63) // another text starts at the newest
	found, err := p.Notices.List(r.Context(), page.Subject(r), notice.Query{Unread: l.Unread, Before: l.Before, Limit: noticesPerPage + 1})
	if err != nil {
		return err
	}
	address := func(before uint64) string {
		all := map[string]string{}
		if l.Unread {
			all["unread"] = "on"
		}
		if before > 0 {
			all["before"] = strconv.FormatUint(before, 10)
		}
		return address(navigation.NoticesAt, all)
	}
	if l.Before > 0 {
		l.First = address(0)
	}
	if len(found) > noticesPerPage {
		found = found[:noticesPerPage]
		l.Older = address(found[noticesPerPage-1].Seq)
	}
	if l.Rows, err = p.noticeRows(r, found); err != nil {
		return err
	}
	if len(found) > 0 {
		l.Newest = found[0].Seq
	}
	unread, err := p.Notices.Unread(r.Context(), page.Subject(r), 1)
	if err != nil {
		return err
	}
	l.Any = unread > 0
	return p.Render(w, r, set, page.View{Template: "notices.html", Title: "Notices", Section: string(navigation.Notices), Data: l})
}

func (p *Pages) noticeRows(r *http.Request, found []notice.Notice) ([]noticeRow, error) {
	ids := make([]uuid.UUID, len(found))
	for i, n := range found {
		ids[i] = n.Message.ID
	}
	headers, err := p.Reader.Headers(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	mayPlan := policy.Allow(page.Subject(r), policy.Replay) == nil
	rows := make([]noticeRow, len(found))
	for i, n := range found {
		rows[i] = noticeRow{Notice: n, Heading: headers[n.Message.ID]}
		for _, f := range failuresOf(r, n.Message, n.Failures) {
			c := cause{failure: f}
			if mayPlan && !n.Message.Status.Withdrawn() {
				c.Plan = address("/operations/replays/new", map[string]string{"message": n.Message.ID.String(), "state": string(f.State), "because": f.Reason})
			}
			rows[i].Causes = append(rows[i].Causes, c)
		}
	}
	return rows, nil
}

// Words returns the status of the message in words, in English.
func (n noticeRow) Words() string { return statusOf(n.Message) }

// readNotices marks one notice as read, or all up to the newest one that the reader saw.
func (p *Pages) readNotices(w http.ResponseWriter, r *http.Request) error {
	seq, err := strconv.ParseUint(r.FormValue("seq"), 10, 63)
	if err != nil {
		return notice.ErrNotFound
	}
	if r.FormValue("message") == "" {
		if err := p.Notices.MarkAllRead(r.Context(), page.Subject(r), seq); err != nil {
			return err
		}
		return p.Redirect(w, r, navigation.NoticesAt, "The notices were marked as read.")
	}
	id, err := uuid.Parse(r.FormValue("message"))
	if err != nil {
		return notice.ErrNotFound
	}
	if err := p.Notices.MarkRead(r.Context(), page.Subject(r), id, seq); err != nil {
		return err
	}
	return p.Redirect(w, r, backTo(r.Form, id), "The notice was marked as read.")
}

// backTo is the page on which a notice was marked as read.
func backTo(form url.Values, message uuid.UUID) string {
	if form.Get("back") == "message" {
		return "/messages/" + message.String()
	}
	all := map[string]string{}
	if form.Get("unread") != "" {
		all["unread"] = "on"
	}
	if before, err := strconv.ParseUint(form.Get("before"), 10, 63); err == nil && before > 0 {
		all["before"] = strconv.FormatUint(before, 10)
	}
	return address(navigation.NoticesAt, all)
}

// noticeOf is the notice of a message for its sender, nil if there is none.
func (p *Pages) noticeOf(r *http.Request, id uuid.UUID) (*notice.Notice, error) {
	n, err := p.Notices.Of(r.Context(), page.Subject(r), id)
	if errors.Is(err, notice.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &n, nil
}
