// Package messages is the pages about sent messages: the lists, a message with its
// progress and its recipients, and cancelling or recalling it.
//
// [messages.Reader.Visible] decides who can open a message. Its sender and Staff Bcc
// read its content; a reader of the record does not; for everyone else it is not found.
//
// A page shows a message as it is when the page is made. With scripts, htmx requests
// the progress every second while the message is being sent, and replaces the numbers.
// Buttons stay where they are.
//
// # Size
//
// Lists, one message and its recipients are one package, because they share what a
// reader may see of a message.
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
	"postern/internal/messages/notice"
	"postern/internal/navigation"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/record/retention"
	"postern/internal/search"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Composer  *compose.Composer
	Reader    *reader.Reader
	Drafts    *draft.Drafts
	Messages  *messages.Reader
	Notices   *notice.Notices
	Retention *retention.Retention
	Pauses    *pause.Pauses
	Replays   *replay.Replays
	Search    *search.Searcher
	Now       func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// section is the section of these pages in the navigation.
const section = "messages"

// mayTrack are the actions that open the pages of messages; which messages is decided
// for each one.
var mayTrack = page.May(policy.SeeMessages, policy.ReadTheRecord, policy.SeeBcc)

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return []page.Route{
		{Pattern: "GET /messages", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.list},
		{Pattern: "GET /messages/bcc", Realm: policy.RealmStaff, Actions: page.May(policy.SeeBcc), Handle: p.bcc},
		{Pattern: "GET /messages/{id}", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.message},
		{Pattern: "GET /messages/{id}/{part}", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.part(map[string]page.Handler{
			"progress": p.progress, "recipients": p.recipients, "recipients.csv": p.export, "recall": p.askRecall})},
		{Pattern: "GET " + navigation.NoticesAt, Realm: policy.RealmStaff, Actions: page.May(policy.SeeMessages), Handle: p.notices},
		{Pattern: "POST " + navigation.NoticesAt + "/read", Realm: policy.RealmStaff, Actions: page.May(policy.SeeMessages), Handle: p.readNotices},
		{Pattern: "GET /worklists/unread", Realm: policy.RealmStaff, Actions: page.May(policy.SeeMessages), Handle: p.unread},
		{Pattern: "GET " + noEmailAt, Realm: policy.RealmStaff, Actions: page.May(policy.SendMessage, policy.SeeDirectory), Handle: p.noEmail},
		{Pattern: "POST /messages/{id}/{part}", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.part(map[string]page.Handler{
			"cancel": sending(p.cancel), "recall": sending(p.recall), "edit": sending(p.edit), "recipients": p.RedirectSearch})},
		{Pattern: "POST /messages", Realm: policy.RealmStaff, Actions: mayTrack, Handle: p.RedirectSearch},
		{Pattern: "POST /messages/bcc", Realm: policy.RealmStaff, Actions: page.May(policy.SeeBcc), Handle: p.RedirectSearch},
	}
}

// sending allows an action only for staff who may send messages.
func sending(handle page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := policy.Allow(page.Subject(r), policy.SendMessage); err != nil {
			return err
		}
		return handle(w, r)
	}
}

// part calls the handler of one of the pages below a message. Separate patterns would
// conflict with /messages/drafts/{id}: http.ServeMux can't tell which of the two
// /messages/drafts/recall is.
func (p *Pages) part(parts map[string]page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if handle := parts[r.PathValue("part")]; handle != nil {
			return handle(w, r)
		}
		return p.NotFound(w, r)
	}
}

// visible returns the message in the address, if the reader may open it.
func (p *Pages) visible(r *http.Request) (messages.Message, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return messages.Message{}, messages.ErrNotFound
	}
	return p.Messages.Visible(r.Context(), page.Subject(r), id)
}
