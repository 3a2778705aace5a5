package messages

import (
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"postern/internal/messages"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// filter is the filter of a list of messages, as it is in the address.
type filter struct {
	Q, Status   string
	From, Until string // days, both included: 2026-11-25
	Whose       string // "": the reader's own messages; "everybody": all messages
	before      string // the message after which the page starts
	words       string // Q, sealed for addresses: see page.Renderer.Words
}

const everybody = "everybody"

func (p *Pages) filterOf(r *http.Request) (filter, error) {
	q, sealed, err := p.Words(r)
	return filter{Q: q, words: sealed, Status: r.FormValue("status"), From: r.FormValue("from"), Until: r.FormValue("until"),
		Whose: r.FormValue("whose"), before: r.FormValue("before")}, err
}

// Chosen reports whether the filter leaves out any message.
func (f filter) Chosen() bool { return f.Q != "" || f.Status != "" || f.From != "" || f.Until != "" }

// href returns the address of the list after a message; "" starts at the newest.
func (f filter) href(path, before string) string {
	return address(path, map[string]string{"words": f.words, "status": f.Status, "from": f.From, "until": f.Until, "whose": f.Whose, "before": before})
}

// address returns a path with the non-empty values as its query.
func address(path string, all map[string]string) string {
	query := url.Values{}
	for name, value := range all {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// query converts the filter to a query, and returns the errors of its fields.
func (f filter) query(which messages.Which) (q messages.Query, errs page.Errors) {
	q = messages.Query{Which: which, Status: f.Status, Limit: perPage}
	if f.Status != "" && !among(statuses, f.Status) {
		errs = append(errs, page.Error{Field: "status", Message: "Choose a status from the list"})
	}
	day := func(field, text string) (at time.Time) {
		if text == "" {
			return at
		}
		at, err := time.ParseInLocation(time.DateOnly, text, zone.Clinic())
		if err != nil {
			errs = append(errs, page.Error{Field: field, Message: language.Mark("Enter a day as year, month and day, like 2026-11-25")})
		}
		return at
	}
	q.From = day("from", f.From)
	if last := day("until", f.Until); !last.IsZero() {
		q.Until = last.AddDate(0, 0, 1)
	}
	if len(errs) == 0 && !q.From.IsZero() && !q.Until.IsZero() && !q.From.Before(q.Until) {
		errs = append(errs, page.Error{Field: "until", Message: "The last day must not be before the first"})
	}
	if f.before != "" {
		before, err := uuid.Parse(f.before)
		if err != nil {
			errs = append(errs, page.Error{Message: language.Mark("The address of this page is not complete. Start again from the newest messages")})
		}
		q.Before = before
	}
	return q, errs
}
