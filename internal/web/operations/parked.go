package operations

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"postern/internal/eventlog/parked"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// parkedList is the data of the list of parked events.
type parkedList struct {
	All         bool
	Type        string
	Consumer    string
	Rows        []parked.Event
	Types       []string // types of the events that can be retried
	Next, First string   // addresses
}

func (p *Pages) parkedList(w http.ResponseWriter, r *http.Request) error {
	l := parkedList{All: r.FormValue("all") == "true", Type: r.FormValue("type"), Consumer: r.FormValue("consumer")}
	before, _ := uuid.Parse(r.FormValue("before")) // an invalid id means the first page
	found, err := p.Parked.List(r.Context(), parked.Query{All: l.All, Type: l.Type, Consumer: l.Consumer, Before: before, Limit: perPage + 1})
	if err != nil {
		return err
	}
	if before != uuid.Nil {
		l.First = l.address(uuid.Nil)
	}
	if len(found) > perPage {
		found = found[:perPage]
		l.Next = l.address(found[perPage-1].ID)
	}
	l.Rows = found
	for _, e := range found {
		if e.Retriable() && !slices.Contains(l.Types, e.Type) {
			l.Types = append(l.Types, e.Type)
		}
	}
	return p.Render(w, r, set, page.View{Template: "parked.html", Title: "Parked events", Section: section, Data: l})
}

func (l parkedList) address(before uuid.UUID) string {
	q := url.Values{}
	if l.All {
		q.Set("all", "true")
	}
	if l.Type != "" {
		q.Set("type", l.Type)
	}
	if l.Consumer != "" {
		q.Set("consumer", l.Consumer)
	}
	if before != uuid.Nil {
		q.Set("before", before.String())
	}
	return (&url.URL{Path: "/operations/parked", RawQuery: q.Encode()}).String()
}

// retryAll retries every parked event of a type.
func (p *Pages) retryAll(w http.ResponseWriter, r *http.Request) error {
	n, seq, err := p.Parked.RetryAll(r.Context(), page.Subject(r).Actor(), r.PostFormValue("type"), "")
	if err != nil {
		return err
	}
	p.Await(r.Context(), seq)
	notice := language.Mark("Nothing was left to retry.")
	if n > 0 {
		notice = language.From(r.Context()).Count(n, "{n} event will be retried. Events that fail again come back here.", "{n} events will be retried. Events that fail again come back here.")
	}
	return p.Redirect(w, r, "/operations/parked", notice)
}

// parkedEvent is the data of the page of a parked event.
type parkedEvent struct {
	parked.Event
	Subject string
	Headers []string
	Body    string
	Gone    bool // the stream no longer has it
	Reason  string
	Why     string // why it can't be retried
}

func (p *Pages) parkedEvent(w http.ResponseWriter, r *http.Request) error {
	return p.showParked(w, r, "", nil)
}

func (p *Pages) parkedOf(r *http.Request) (parked.Event, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return parked.Event{}, parked.ErrNotFound
	}
	return p.Parked.Find(r.Context(), id)
}

func (p *Pages) showParked(w http.ResponseWriter, r *http.Request, reason string, errs page.Errors) error {
	found, err := p.parkedOf(r)
	if err != nil {
		return err
	}
	shown := parkedEvent{Event: found, Reason: reason}
	if found.State == parked.Open && !found.Retriable() {
		shown.Why = page.Say(r, parked.ErrOnlyRebuild)
	}
	stored, err := p.Parked.Stored(r.Context(), found)
	if err != nil {
		shown.Gone = true // /readyz reports a stream that lacks events; the reason for parking is shown anyway
	}
	shown.Subject, shown.Body = stored.Subject, readable(language.From(r.Context()), stored.Data)
	for _, name := range slices.Sorted(maps.Keys(stored.Header)) {
		shown.Headers = append(shown.Headers, name+": "+strings.Join(stored.Header[name], ", "))
	}
	return p.Render(w, r, set, page.View{Template: "parked_event.html", Title: "A parked event", Section: section, Data: shown, Errors: errs})
}

// mostShown is how much of a body is shown, in bytes. A chunk's body has 100 kB.
const mostShown = 20_000

// readable indents a JSON body, replaces unprintable characters and shortens a long body.
func readable(l language.Language, data []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		b.Reset()
		b.Write(data)
	}
	text := strings.ToValidUTF8(b.String(), "\ufffd")
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return '\ufffd'
		}
		return r
	}, text)
	if len(text) > mostShown {
		text = strings.ToValidUTF8(text[:mostShown], "") + "\n… " + l.Text("{size} in total: `postern parked show` prints everything", "size", l.Size(int64(len(data))))
	}
	return text
}

func (p *Pages) decide(w http.ResponseWriter, r *http.Request) error {
	found, err := p.parkedOf(r)
	if err != nil {
		return err
	}
	reason, actor := r.PostFormValue("reason"), page.Subject(r).Actor()
	decision, notice := p.Parked.Retry, language.Mark("The event will be retried. If it fails again, it is parked again.")
	switch r.PathValue("decision") {
	case "retry":
	case "discard":
		decision, notice = p.Parked.Discard, language.Mark("The event was discarded. It stays in the record, with your reason.")
	default:
		return p.NotFound(w, r)
	}
	seq, err := decision(r.Context(), actor, found.ID, reason)
	if errors.Is(err, parked.ErrReason) {
		return p.showParked(w, r, reason, page.Errors{{Field: "reason", Message: page.Say(r, err)}})
	}
	if err != nil {
		return err
	}
	p.Await(r.Context(), seq)
	return p.Redirect(w, r, "/operations/parked/"+found.ID.String(), notice)
}
