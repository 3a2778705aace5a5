package messages

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/content/message"
	"postern/internal/messages"
	"postern/internal/web/page"
)

const (
	defaultDays = 7
	mostDays    = 3650
)

// notOpened is the data of the page of unread messages.
type notOpened struct {
	Days        string // as typed
	Rows        []unreadRow
	Next, First string // addresses
}

type unreadRow struct {
	messages.Unread
	message.Heading
}

// unread lists the recipients who have not opened a message of the reader for some days.
func (p *Pages) unread(w http.ResponseWriter, r *http.Request) error {
	l := notOpened{Days: r.FormValue("days")}
	if l.Days == "" {
		l.Days = strconv.Itoa(defaultDays)
	}
	view := page.View{Template: "unread.html", Title: "Not opened yet", Section: section}
	days := page.Number(r, "days", 0, mostDays)
	switch {
	case r.FormValue("days") == "":
		days = defaultDays
	case r.FormValue("days") == "0":
	case days == 0:
		view.Errors = page.Errors{{Field: "days", Message: page.T(r, "Enter a number of days from 0 to {most}", "most", strconv.Itoa(mostDays))}}
	}
	if len(view.Errors) == 0 {
		if err := p.fillUnread(r, &l, days); err != nil {
			return err
		}
	}
	view.Data = l
	return p.Render(w, r, set, view)
}

func (p *Pages) fillUnread(r *http.Request, l *notOpened, days int) error {
	from := placeOf(r)
	found, next, err := p.Messages.Unread(r.Context(), page.Subject(r), p.Now().Add(-time.Duration(days)*24*time.Hour), from, perPage)
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	for _, u := range found {
		if len(ids) == 0 || ids[len(ids)-1] != u.MessageID {
			ids = append(ids, u.MessageID)
		}
	}
	headers, err := p.Reader.Headers(r.Context(), ids)
	if err != nil {
		return err
	}
	for _, u := range found {
		u.AlertReason = page.T(r, u.AlertReason)
		l.Rows = append(l.Rows, unreadRow{u, headers[u.MessageID]})
	}
	address := func(at messages.Cursor) string {
		q := url.Values{"days": {strconv.Itoa(days)}}
		if at != (messages.Cursor{}) {
			q.Set("message", at.Message.String())
			q.Set("after", strconv.Itoa(int(at.After)))
		}
		return "/worklists/unread?" + q.Encode()
	}
	if next != nil {
		l.Next = address(*next)
	}
	if from != (messages.Cursor{}) {
		l.First = address(messages.Cursor{})
	}
	return nil
}

// placeOf reads the place at which the page starts. An invalid one means the first page.
func placeOf(r *http.Request) (at messages.Cursor) {
	id, err := uuid.Parse(r.FormValue("message"))
	after, err2 := strconv.ParseInt(r.FormValue("after"), 10, 32)
	if err != nil || err2 != nil || after < 0 {
		return messages.Cursor{}
	}
	return messages.Cursor{Message: id, After: int32(after)} // #nosec G115 -- parsed as such
}

// Alert returns the state of the alert in words, in English.
func (u unreadRow) Alert() string { return called(alerts, u.AlertState) }
