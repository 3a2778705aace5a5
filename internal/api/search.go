package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/api/tracking"
	"postern/internal/directory"
)

const (
	// searchHits is the most of each kind that a search finds.
	searchHits = 20
	// searchMessages is how many of the latest messages are searched: subjects
	// are encrypted, so each is opened.
	searchMessages = 500
)

// Found is something that Global Search found.
type Found struct {
	Kind  string `json:"kind" enum:"page,setting,message,portal_user"`
	ID    string `json:"id,omitempty" doc:"Of a message or a portal user."`
	Title string `json:"title"`
	Href  string `json:"href"`
}

// destination is a page or a setting, and what one must be allowed to go there.
type destination struct {
	kind, title, also, href string
	action                  access.Action
}

// destinations are what can be found by its name. {…} stands for a label.
var destinations = []destination{
	{"page", "Compose: {patient} Portal Message", "new send write message", "/messages/compose", access.SendMessage},
	{"page", "Messages", "sent progress", "/messages", access.SeeMessages},
	{"page", "Staff Bcc", "messages copied to me", "/bcc", access.SeeBcc},
	{"setting", "Custom Labels", "rename {patient} {portal_user} words names settings", "/settings/labels", access.ChangeLabels},
	{"setting", "Staff: System Permissions", "staff info general bulk {portal_user} message settings", "/staff", access.ChangeStaff},
	{"page", "Operations: Replays", "failed alerts deliveries", "/operations/replays", access.Replay},
	{"page", "Operations: Parked events", "failed", "/operations/parked", access.SettleParked},
	{"page", "Record", "event log receipts compliance", "/record", access.ReadTheRecord},
}

type globalSearchInput struct {
	Q string `query:"q" required:"true" maxLength:"200" doc:"Words to look for."`
}

// search registers Global Search.
func (a *API) search() {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/search", id: "global-search", tag: forStaff,
		summary: "Global Search: pages, settings, messages and portal users that I may see.",
		actions: []access.Action{access.Search},
	}, func(ctx context.Context, in *globalSearchInput) (*body[List[Found]], error) {
		items := []Found{}
		for _, find := range []func(context.Context, string) ([]Found, error){a.findPages, a.findMessages, a.findPortalUsers} {
			found, err := find(ctx, in.Q)
			if err != nil {
				return nil, err
			}
			items = append(items, found...)
		}
		return answerWith(List[Found]{Items: items}), nil
	})
}

// mentions says whether each word of q begins somewhere in the text.
func mentions(text, q string) bool {
	text = strings.ToLower(text)
	words := strings.Fields(strings.ToLower(q))
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return len(words) > 0
}

func (a *API) findPages(ctx context.Context, q string) ([]Found, error) {
	labels, err := a.currentLabels(ctx)
	if err != nil {
		return nil, err
	}
	var pairs []string
	labels.each(func(key string, l **Label) { pairs = append(pairs, "{"+key+"}", (*l).One) })
	named := strings.NewReplacer(pairs...)
	var found []Found
	for _, d := range destinations {
		title := named.Replace(d.title)
		if access.Allow(subjectOf(ctx), d.action) == nil && mentions(title+" "+named.Replace(d.also), q) {
			found = append(found, Found{Kind: d.kind, Title: title, Href: d.href})
		}
	}
	return found, nil
}

// findMessages looks at the subjects of the latest messages that the searcher
// sent or is Staff Bcc of.
func (a *API) findMessages(ctx context.Context, q string) ([]Found, error) {
	lists := []tracking.Which{tracking.Named}
	if access.Allow(subjectOf(ctx), access.SeeMessages) == nil {
		lists = append(lists, tracking.Sent)
	}
	var ids []uuid.UUID
	for _, which := range lists {
		messages, err := a.track.List(ctx, subjectOf(ctx).ID, which, uuid.Max, searchMessages)
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			ids = append(ids, m.ID)
		}
	}
	headers, err := a.cfg.Compose.Headers(ctx, ids)
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, id := range ids {
		h, unseen := headers[id]
		delete(headers, id)
		if unseen && len(found) < searchHits && mentions(h.Subject, q) {
			found = append(found, Found{Kind: "message", ID: id.String(), Title: h.Subject, Href: "/messages/" + id.String()})
		}
	}
	return found, nil
}

func (a *API) findPortalUsers(ctx context.Context, q string) ([]Found, error) {
	if access.Allow(subjectOf(ctx), access.SendMessage) != nil || strings.TrimSpace(q) == "" {
		return nil, nil
	}
	users, _, err := directory.Search(ctx, a.cfg.Pool, q, searchHits, "")
	if err != nil {
		return nil, err
	}
	found := make([]Found, len(users))
	for i, u := range users {
		found[i] = Found{Kind: "portal_user", ID: u.ID, Title: u.Name, Href: "/portal-users/" + u.ID}
	}
	return found, nil
}
