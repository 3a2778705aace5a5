// Package messages is the pages of what became of messages: the lists of them, a
// message with its progress and its recipients, and taking it back.
//
// Who may look at a message, and as what, is decided by [messages.Tracker.Visible]:
// its sender and Staff Bcc read what it says, a reader of the record does not, and
// to everybody else it is not there.
//
// A message that is still on its way is shown as it is when the page is made. Where
// scripts run, htmx asks for its progress every second while it moves, and puts the
// new numbers in the place of the old: what can be pressed stays where it is.
package messages

import (
	"embed"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/content/reader"
	"postern/internal/messages"
	"postern/internal/notify/pause"
	"postern/internal/record/retention"
	"postern/internal/search"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.MustParse(files)

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config is what these pages work with.
type Config struct {
	Composer  *compose.Composer
	Reader    *reader.Reader
	Drafts    *draft.Drafts
	Messages  *messages.Reader
	Retention *retention.Retention
	Pauses    *pause.Pauses
	Search    *search.Searcher
	Now       func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// section is where these pages stand in the navigation.
const section = "messages"

// mayTrack are the actions for which somebody may look at messages; at which ones
// is decided one by one.
var mayTrack = page.May(policy.SeeMessages, policy.ReadTheRecord, policy.SeeBcc)

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return []page.Route{
		{Pattern: "GET /messages", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.list},
		{Pattern: "GET /messages/bcc", Realm: policy.RealmStaff, Actions: page.May(policy.SeeBcc), Handle: p.bcc},
		{Pattern: "GET /messages/{id}", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.message},
		{Pattern: "GET /messages/{id}/{part}", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.part(map[string]page.Handler{
			"progress": p.progress, "recipients": p.recipients, "recipients.csv": p.export, "recall": p.askRecall})},
		{Pattern: "GET /worklists/unread", Realm: policy.RealmStaff, Actions: page.May(policy.SeeMessages), Handle: p.unread},
		{Pattern: "GET " + noEmailAt, Realm: policy.RealmStaff, Actions: page.May(policy.SendMessage, policy.SeeDirectory), Handle: p.noEmail},
		{Pattern: "POST /messages/{id}/{part}", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.part(map[string]page.Handler{
			"cancel": sending(p.cancel), "recall": sending(p.recall), "edit": sending(p.edit), "recipients": p.Ask})},
		{Pattern: "POST /messages", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.Ask},
		{Pattern: "POST /messages/bcc", Realm: policy.RealmStaff, Actions: page.May(policy.SeeBcc), Handle: p.Ask},
	}
}

// sending lets those act alone who may send.
func sending(handle page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := policy.Allow(page.Subject(r), policy.SendMessage); err != nil {
			return err
		}
		return handle(w, r)
	}
}

// part leads to one of the pages below a message. Each with a pattern of its own
// would be in the way of /messages/drafts/{id}: http.ServeMux can't tell which of the
// two /messages/drafts/recall is.
func (p *Pages) part(parts map[string]page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if handle := parts[r.PathValue("part")]; handle != nil {
			return handle(w, r)
		}
		return p.NotFound(w, r)
	}
}

// visible gives the message of the address, if the reader may look at it.
func (p *Pages) visible(r *http.Request) (messages.Message, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return messages.Message{}, messages.ErrNotFound
	}
	return p.Messages.Visible(r.Context(), page.Subject(r), id)
}
