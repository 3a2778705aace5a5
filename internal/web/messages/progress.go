package messages

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"postern/internal/text/language"
	"postern/internal/web/page"
)

// figure is a number of a message's progress, with its texts in English.
type figure struct {
	ID, Text, Hint string
	Count, Of      int
	Href           string // address of the counted recipients
}

// Figures returns the progress of a message as numbers.
func (s snapshot) Figures() []figure {
	p, recipients := s.Progress, at(s.Message)+"/recipients"
	return []figure{
		{"delivered", language.Mark("Delivered"), language.Mark("In the portal inbox"), p.Delivered, p.Recipients, recipients},
		{"alerted", language.Mark("Alerted"), language.Mark("The alert e-mail was accepted"), p.Alerted, p.Recipients, recipients + "?alert=accepted"},
		{"failed", language.Mark("Failed"), language.Mark("The e-mail was refused; the message can still be read"), p.AlertFailed, p.Recipients, recipients + "?alert=failed"},
		{"skipped", language.Mark("Skipped"), language.Mark("No e-mail was sent, for example because there is no address"), p.AlertSkipped, p.Recipients, recipients + "?alert=skipped"},
		{"unknown", language.Mark("Unknown"), language.Mark("The e-mail service never answered"), p.AlertUnknown, p.Recipients, recipients + "?alert=unknown"},
		{"opened", language.Mark("Opened"), language.Mark("Read in the portal"), p.Opened, p.Recipients, recipients + "?opened=true"},
	}
}

// Most returns the maximum of the figure's bar.
func (f figure) Most() int { return max(f.Of, 1) }

const (
	// watched is how long before its release the page of a scheduled message starts to poll.
	watched = 10 * time.Minute
	// alertsAwaited is how long after the last delivery the page polls for alerts.
	alertsAwaited = time.Hour
)

// Every returns the seconds between polls; 0 if the numbers no longer change. Polling
// has to end at some time, because it keeps a session alive.
func (s snapshot) Every() int {
	switch {
	case s.Status == "scheduled" && s.ReleaseAt.Sub(s.Now) < watched, s.Status == "sending":
		return 1
	case s.CompletedAt != nil && s.Settled() < s.Progress.Delivered && s.Now.Sub(*s.CompletedAt) < alertsAwaited:
		return 2
	}
	return 0
}

// state identifies the status and the pause that the page shows.
func (s snapshot) state() string {
	if s.Pause == nil {
		return string(s.Status)
	}
	return fmt.Sprintf("%s.%d", s.Status, s.Pause.PausedAt.UnixMicro())
}

// Seen identifies the progress that the reader has seen: the state, and the quarters of
// the deliveries.
func (s snapshot) Seen() string {
	quarters := 0
	if s.Progress.Recipients > 0 {
		quarters = 4 * s.Progress.Delivered / s.Progress.Recipients
	}
	return fmt.Sprintf("%s-%d-%t", s.state(), quarters, s.Every() > 0)
}

// moved is the state of a message compared with the one that the reader has seen.
type moved struct {
	snapshot
	News    bool // there is a change to announce
	Changed bool // the state has changed
}

// progress answers htmx with the parts of the page of a message that have changed.
func (p *Pages) progress(w http.ResponseWriter, r *http.Request) error {
	m, err := p.visible(r)
	if err != nil {
		return err
	}
	if !page.IsFragment(r) {
		return p.Redirect(w, r, "/messages/"+m.ID.String(), "")
	}
	now, err := p.snapshotOf(r, m)
	if err != nil {
		return err
	}
	before, seen := r.FormValue("seen"), now.Seen()
	state, _, _ := strings.Cut(before, "-")
	return p.Fragment(w, r, set, "progress", page.View{Template: "message.html",
		Data: moved{now, before != seen, state != now.state()}})
}
