// Package search is Global Search: one query over the pages, settings, messages and portal
// users that the staff member may see.
//
// It never finds more than the pages themselves show: each kind of result needs the same
// permission as the page that it leads to.
//
// A Searcher is safe for concurrent use.
package search

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/directory"
	"postern/internal/labels/labelstore"
	"postern/internal/messages"
	"postern/internal/navigation"
	"postern/internal/record/person"
	"postern/internal/record/query"
	"postern/internal/text/folding"
)

const (
	// hits is the most results of each kind.
	hits = 20
	// recent is the number of the latest messages that are searched. Subjects are
	// encrypted, so each is decrypted.
	recent = 500
	// batchSize is the number of messages that are decrypted before the results are counted.
	batchSize = 250
)

// Found is a result of a search.
type Found struct {
	Kind  string `json:"kind" enum:"page,setting,message,portal_user"`
	ID    string `json:"id,omitempty" doc:"The id of a message or a portal user."`
	Title string `json:"title"`
	Href  string `json:"href"`
}

// Config has the dependencies of a [Searcher].
type Config struct {
	Pool     *pgxpool.Pool
	Labels   *labelstore.Store
	Tracking *messages.Reader
	Reader   *reader.Reader // opens subjects
	Record   *query.Reader
}

// Searcher searches pages, messages and portal users.
type Searcher struct {
	cfg Config
}

// New makes a Searcher. It does no I/O.
func New(cfg Config) *Searcher { return &Searcher{cfg: cfg} }

// Find returns the results of the query q for a subject, pages and settings first. An empty
// query finds no messages and no portal users.
func (s *Searcher) Find(ctx context.Context, subject policy.Subject, q string) ([]Found, error) {
	found := []Found{}
	for _, find := range []func(context.Context, policy.Subject, string) ([]Found, error){s.pages, s.messages, s.portalUsers} {
		more, err := find(ctx, subject, q)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

func (s *Searcher) pages(ctx context.Context, subject policy.Subject, q string) ([]Found, error) {
	current, err := s.cfg.Labels.Current(ctx)
	if err != nil {
		return nil, err
	}
	var found []Found
	seen := map[string]bool{} // a page that is in two menus is found once
	for _, d := range navigation.Allowed(subject, current) {
		if seen[d.Href] || !folding.Mentions(d.Title+" "+d.Keywords, q) {
			continue
		}
		seen[d.Href] = true
		kind := "page"
		if d.Setting {
			kind = "setting"
		}
		found = append(found, Found{Kind: kind, Title: d.Title, Href: d.Href})
	}
	return found, nil
}

// messages searches the subjects of the latest messages that the staff member sent, or on
// which they are a Staff Bcc.
func (s *Searcher) messages(ctx context.Context, subject policy.Subject, q string) ([]Found, error) {
	if strings.TrimSpace(q) == "" {
		return nil, nil
	}
	lists := []messages.Which{messages.Named}
	if policy.Allow(subject, policy.SeeMessages) == nil {
		lists = append(lists, messages.Sent)
	}
	var ids []uuid.UUID
	for _, which := range lists {
		listed, err := s.cfg.Tracking.List(ctx, subject.ID, which, uuid.Max, recent)
		if err != nil {
			return nil, err
		}
		ids = append(ids, idsOf(listed)...)
	}
	return s.subjects(ctx, ids, q)
}

// subjects decrypts messages in batches until it has enough results, and returns those whose
// subject matches q. A message that is in ids twice is found once.
func (s *Searcher) subjects(ctx context.Context, ids []uuid.UUID, q string) ([]Found, error) {
	var found []Found
	seen := make(map[uuid.UUID]bool, len(ids))
	for some := range slices.Chunk(ids, batchSize) {
		headers, err := s.cfg.Reader.Headers(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, id := range some {
			h := headers[id]
			if h.Condition != message.Kept || seen[id] || !folding.Mentions(h.Subject, q) {
				continue
			}
			if seen[id] = true; len(found) == hits {
				return found, nil
			}
			found = append(found, Found{Kind: "message", ID: id.String(), Title: h.Subject, Href: "/messages/" + id.String()})
		}
	}
	return found, nil
}

// portalUsers searches the directory. For readers of the record without another right to search it,
// the search is recorded as a reading.
func (s *Searcher) portalUsers(ctx context.Context, subject policy.Subject, q string) ([]Found, error) {
	if strings.TrimSpace(q) == "" {
		return nil, nil
	}
	var users []directory.PortalUser
	var err error
	switch {
	case policy.Allow(subject, policy.SendMessage) == nil || policy.Allow(subject, policy.SeeDirectory) == nil:
		users, _, err = directory.Search(ctx, s.cfg.Pool, q, hits, "")
	case policy.Allow(subject, policy.ReadTheRecord) == nil:
		users, err = s.cfg.Record.FindPortalUsers(ctx, query.Actor(subject.Actor()), q, hits)
	}
	if err != nil {
		return nil, err
	}
	found := make([]Found, len(users))
	for i, u := range users {
		found[i] = Found{Kind: "portal_user", ID: u.ID, Title: u.Name, Href: person.Page(subject, u.ID)}
	}
	return found, nil
}
