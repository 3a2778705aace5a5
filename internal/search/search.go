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
	"postern/internal/labels"
	"postern/internal/labels/labelstore"
	"postern/internal/messages"
	"postern/internal/text/folding"
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

// destination is a page or a setting, and what one must be allowed to go there.
type destination struct {
	kind, title, also, href string
	action                  policy.Action
}

// destinations are what can be found by its name. {…} stands for a label.
var destinations = []destination{
	{"page", "Compose: {patient} Portal Message", "new send write message", "/messages/compose", policy.SendMessage},
	{"page", "Messages", "sent progress", "/messages", policy.SeeMessages},
	{"page", "Drafts", "messages unsent saved", "/messages/drafts", policy.SendMessage},
	{"page", "Bcc'd to me", "staff bcc messages copied", "/messages/bcc", policy.SeeBcc},
	{"page", "Not opened yet", "unread messages worklist days", "/worklists/unread", policy.SeeMessages},
	{"page", "Operations", "health consumers lag alerting pause sendgrid overview", "/operations", policy.Replay},
	{"page", "Parked events", "operations failed poison retry discard", "/operations/parked", policy.SettleParked},
	{"setting", "Custom Labels", "rename {patient} {portal_user} words names settings administration", "/administration/labels", policy.ChangeLabels},
	{"setting", "Staff: System Permissions", "staff info general bulk {portal_user} message settings administration", "/administration/staff", policy.ChangeStaff},
	{"page", "Account", "me password second factor code phone recovery sign out everywhere", "/account", policy.SecureAccount},
	{"page", "Directory: {portal_users}", "people accounts links search administration", "/directory/portal-users", policy.SeeDirectory},
	{"page", "Directory: {patients}", "people status links search administration", "/directory/patients", policy.SeeDirectory},
	{"page", "No working e-mail", "worklist bounced address alerts {portal_users}", "/worklists/no-email", policy.SendMessage},
	{"page", "Operations: Replays", "resend failed alerts repeat operations", "/operations/replays", policy.Replay},
	{"page", "Record", "events audit log export timeline compliance", "/record", policy.ReadTheRecord},
	{"page", "Erasures", "erase delete destroy content retention administration", "/record/erasures", policy.EraseContent},
	{"page", "Directory: Import", "upload csv {patients} {portal_users} administration", "/directory/import", policy.Import},
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
	var pairs []string
	current.Each(func(key string, l **labels.Label) {
		pairs = append(pairs, "{"+key+"}", (*l).One, "{"+key+"s}", (*l).Many)
	})
	named := strings.NewReplacer(pairs...)
	var found []Found
	for _, d := range destinations {
		title := named.Replace(d.title)
		if policy.Allow(subject, d.action) == nil && folding.Mentions(title+" "+named.Replace(d.also), q) {
			found = append(found, Found{Kind: d.kind, Title: title, Href: d.href})
		}
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
