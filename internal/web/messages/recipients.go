package messages

import (
	"math"
	"net/http"
	"slices"
	"strconv"

	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/notify/pause"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// chosen is the filter of a list of recipients, as it is in the address.
type chosen struct {
	Q, Alert, Opened string
	Reason           string // of the alert, word for word; the page of the message links to it
	after            int32
	before           int    // number of recipients on the pages before this one; 0: not known
	words            string // Q, sealed for addresses: see page.Renderer.Words
}

func (p *Pages) chosenOf(r *http.Request) (c chosen, errs page.Errors, err error) {
	q, sealed, err := p.Words(r)
	c = chosen{Q: q, words: sealed, Alert: r.FormValue("alert"), Opened: r.FormValue("opened"), Reason: r.FormValue("reason")}
	if c.Alert == "" || c.Alert == noAddress {
		c.Reason = "" // it is the reason of a state
	}
	if c.Alert != "" && !among(alertChoices, c.Alert) {
		errs = append(errs, page.Error{Field: "alert", Message: "Choose a state of the alert from the list"})
	}
	if c.Opened != "" && !among(openings, c.Opened) {
		errs = append(errs, page.Error{Field: "opened", Message: "Choose opened or not opened from the list"})
	}
	if after := r.FormValue("after"); after != "" {
		n, err := strconv.ParseInt(after, 10, 32)
		if err != nil || n < 0 {
			errs = append(errs, page.Error{Message: language.Mark("The address of this page is not complete. Start again from the first recipient")})
		}
		c.after = int32(n) // #nosec G115 -- parsed as such
		c.before = page.Number(r, "before", 0, math.MaxInt32)
	}
	return c, errs, err
}

var openings = []choice{{"true", language.Mark("Opened")}, {"false", language.Mark("Not opened")}}

// Any reports whether the filter leaves out any recipient.
func (c chosen) Any() bool { return c.Q != "" || c.Alert != "" || c.Opened != "" }

func (c chosen) filter() messages.Filter {
	f := messages.Filter{Alert: events.AlertState(c.Alert)}
	if c.Alert == noAddress {
		f = messages.NoAddress
	}
	if c.Reason != "" {
		f.Reason = c.Reason
	}
	if c.Opened != "" {
		opened := c.Opened == "true"
		f.Opened = &opened
	}
	return f
}

// href returns the address of the list after a recipient. before is the number of
// recipients up to that one.
func (c chosen) href(path string, after int32, before int) string {
	from, listed := "", ""
	if after > 0 {
		from, listed = strconv.Itoa(int(after)), strconv.Itoa(before)
	}
	return address(path, map[string]string{"words": c.words, "alert": c.Alert, "reason": c.Reason, "opened": c.Opened, "after": from, "before": listed})
}

// received is the data of the page of a message's recipients.
type received struct {
	messages.Message
	Chosen           chosen
	Why              string // the reason of the filter, in the language of the reader
	Alerts, Openings []choice
	Rows             []recipient
	First, Next, CSV string // addresses
	Partly           bool   // see messages.Recipients
	Total            messages.Total
	Pause            *pause.Pause // the pause that holds waiting alerts, nil for none
}

// From returns the number of the page's first recipient among all, counted from 1; 0 if
// it is not known.
func (r received) From() int {
	if len(r.Rows) == 0 || r.Chosen.after > 0 && r.Chosen.before == 0 {
		return 0
	}
	return r.Chosen.before + 1
}

// To returns the number of the page's last recipient.
func (r received) To() int { return r.Chosen.before + len(r.Rows) }

type recipient struct {
	messages.Delivery
	Concerned messages.Concerned
}

// Repeatable reports whether a replay can repeat the alert.
func (r recipient) Repeatable() bool {
	return r.AlertState == string(events.AlertFailed) || r.AlertState == string(events.AlertUnknown)
}

// Repeatable reports whether a replay can repeat an alert of the page.
func (r received) Repeatable() bool {
	return r.Status != "recalled" && slices.ContainsFunc(r.Rows, recipient.Repeatable)
}

// Alert returns the state of the alert in words, in English.
func (r recipient) Alert() string { return called(alerts, r.AlertState) }

func (p *Pages) recipients(w http.ResponseWriter, r *http.Request) error {
	m, err := p.visible(r)
	if err != nil {
		return err
	}
	c, errs, err := p.chosenOf(r)
	if err != nil {
		return err
	}
	path := at(m) + "/recipients"
	data := received{Message: m, Chosen: c, Why: page.T(r, c.Reason), Alerts: alertChoices, Openings: openings, CSV: c.href(path+".csv", 0, 0)}
	pauses, err := p.Pauses.Pauses(r.Context())
	if err != nil {
		return err
	}
	if p := m.Progress; p.Delivered > p.Alerted+p.AlertFailed+p.AlertSkipped+p.AlertUnknown {
		data.Pause = pause.Of(pauses, m.ID)
	}
	if len(errs) == 0 {
		found, err := p.Messages.Recipients(r.Context(), m, c.filter(), c.Q, c.after, perPage)
		if err != nil {
			return err
		}
		concerned, err := p.Messages.Concerned(r.Context(), m.ID, found.Deliveries)
		if err != nil {
			return err
		}
		for _, d := range found.Deliveries {
			d.AlertReason = page.T(r, d.AlertReason)
			data.Rows = append(data.Rows, recipient{d, concerned[d.PortalUserNo]})
		}
		if data.Partly = found.Partly; found.Next > 0 {
			data.Next = c.href(path, found.Next, data.To())
		}
		if c.after > 0 {
			data.First = c.href(path, 0, 0)
		}
		if data.Total, err = p.Messages.Total(r.Context(), m, c.filter(), c.Q); err != nil {
			return err
		}
		if data.From() > 0 { // includes recipients added since the message was read
			data.Total.Count = max(data.Total.Count, data.To())
		}
	}
	return p.Render(w, r, set, page.View{Template: "recipients.html", Title: "Recipients of a message", Section: section, Data: data, Errors: errs})
}
