// Package search is Global Search: one question, and what answers to it among the
// pages, settings, messages and portal users that the asker may see.
//
// It finds less, and never more, than the pages themselves show: each kind of
// finding goes through the same permission as the page that it leads to.
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
	"postern/internal/text/folding"
	"postern/internal/web/navigation"
)

const (
	// hits is the most of each kind that a search finds.
	hits = 20
	// recent is how many of the latest messages are searched: subjects are
	// encrypted, so each is opened.
	recent = 500
	// atATime is how many of them are opened before it is asked whether that is enough.
	atATime = 250
)

// Found is something that was found.
type Found struct {
	Kind  string `json:"kind" enum:"page,setting,message,portal_user"`
	ID    string `json:"id,omitempty" doc:"Of a message or a portal user."`
	Title string `json:"title"`
	Href  string `json:"href"`
}

// Config is what a [Searcher] works with.
type Config struct {
	Pool     *pgxpool.Pool
	Labels   *labelstore.Store
	Tracking *messages.Reader
	Reader   *reader.Reader // opens subjects
}

// Searcher finds things.
type Searcher struct {
	cfg Config
}

// New makes a Searcher. It does no I/O.
func New(cfg Config) *Searcher { return &Searcher{cfg: cfg} }

// Find gives what q finds for a subject, pages and settings first. Nothing is
// found by an empty question.
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

// messages looks at the subjects of the latest messages that the asker sent or is
// Staff Bcc of.
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

// subjects opens messages, some at a time until it has found enough, and gives those
// whose subject q is about. A message that is there twice is found once.
func (s *Searcher) subjects(ctx context.Context, ids []uuid.UUID, q string) ([]Found, error) {
	var found []Found
	seen := make(map[uuid.UUID]bool, len(ids))
	for some := range slices.Chunk(ids, atATime) {
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

func (s *Searcher) portalUsers(ctx context.Context, subject policy.Subject, q string) ([]Found, error) {
	if policy.Allow(subject, policy.SendMessage) != nil && policy.Allow(subject, policy.SeeDirectory) != nil || strings.TrimSpace(q) == "" {
		return nil, nil
	}
	users, _, err := directory.Search(ctx, s.cfg.Pool, q, hits, "")
	if err != nil {
		return nil, err
	}
	found := make([]Found, len(users))
	for i, u := range users {
		found[i] = Found{Kind: "portal_user", ID: u.ID, Title: u.Name, Href: "/directory/portal-users/" + u.ID}
	}
	return found, nil
}
