// Package record is the pages for readers of the record: events by message and person,
// each event with everything stored, the timeline of a message, what was sent to a portal
// user, disclosures with their authority, erasures, and emergency access with its reviews.
//
// Every page that shows events counts as a reading of the record. The reading is
// recorded before the page is shown; package query does that. The state of the record
// alone is not a reading. These pages change nothing, except that two staff members can
// erase content, and that emergency access is opened and reviewed.
//
// # Size
//
// These pages are one section of the navigation. They share the state of the record at their
// top, the names of actors, and the list of disclosures.
package record

import (
	"embed"
	"net/http"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/messages"
	"postern/internal/record/accounting"
	"postern/internal/record/emergency"
	"postern/internal/record/person"
	"postern/internal/record/query"
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
	Record      *query.Reader
	People      *person.Reader
	Search      *search.Searcher
	Retention   *retention.Retention
	Emergencies *emergency.Emergencies
	Accounts    *accounting.Accounts
	Messages    *messages.Reader
	Gate        *access.Gate
	Directory   directory.Querier
	Now         func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

const (
	// section is the section of these pages in the navigation.
	section = "record"
	// perPage is the number of rows on a page of a list.
	perPage = 50
)

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	read := page.May(policy.ReadTheRecord)
	erase := page.May(policy.EraseContent)
	reads := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: read, Handle: notHead(handle)}
	}
	return append(p.emergencyRoutes(),
		reads("GET /record", p.events),
		page.Route{Pattern: "POST /record", Realm: policy.RealmStaff, Actions: read, Handle: p.pick},
		reads("GET /record/state", p.state),
		reads("GET /record/{seq}", p.event),
		reads("GET /record/messages/{id}", p.message),
		reads("GET /record/messages/{id}/why", p.why),
		page.Route{Pattern: "GET /record/portal-users/{id}", Realm: policy.RealmStaff, Actions: person.May, Handle: notHead(p.portalUser)},
		reads("GET /record/portal-users/{id}/disclosures", p.disclosuresTo),
		reads("GET /record/patients/{id}", p.disclosuresAbout),
		reads("GET /record/patients/{id}/disclosures", p.accounting),
		page.Route{Pattern: "GET /record/erasures", Realm: policy.RealmStaff, Actions: page.May(policy.EraseContent, policy.ReadTheRecord), Handle: p.erasures},
		page.Route{Pattern: "GET /record/erasures/new", Realm: policy.RealmStaff, Actions: erase, Handle: p.newErasure},
		page.Route{Pattern: "GET /record/erasures/{id}", Realm: policy.RealmStaff, Actions: page.May(policy.EraseContent, policy.ReadTheRecord), Handle: p.erasure},
		page.Route{Pattern: "POST /record/erasures", Realm: policy.RealmStaff, Actions: erase, Handle: p.ask},
		page.Route{Pattern: "POST /record/erasures/{id}/approve", Realm: policy.RealmStaff, Actions: page.May(policy.ApproveErasure), Handle: p.approve},
		page.Route{Pattern: "POST /record/erasures/{id}/withdraw", Realm: policy.RealmStaff, Actions: erase, Handle: p.withdraw},
	)
}

// notHead refuses HEAD, which shows nothing and must not count as a reading.
func notHead(handle page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return nil
		}
		return handle(w, r)
	}
}

// reader returns the actor who reads the record.
func reader(r *http.Request) query.Actor { return query.Actor(page.Subject(r).Actor()) }

// The leading recorder checks the record every minute, and signs every ten seconds. If
// a check or a signature is this late, no recorder does them.
const (
	checkOverdue = 3 * time.Minute
	signOverdue  = time.Minute
)

// recordState is the state of the record, which every list shows at the top.
type recordState struct {
	query.State
	Ago, SignedAgo, WaitingAgo string
	CheckOverdue, SignOverdue  bool
}

// Fine reports whether the record is complete, signed and checked, and all of it
// recently.
func (s recordState) Fine() bool {
	return s.Whole && s.Key != "" && !s.OtherTree && !s.CheckOverdue && !s.SignOverdue
}

// Fresh reports whether nothing is known yet, as right after the first start.
func (s recordState) Fresh() bool { return s.CheckedAt == nil && s.SignedAt.IsZero() && !s.SignOverdue }

// Total and Proved return counts as the int that templates need.
func (s recordState) Total() int  { return int(s.Events) } // #nosec G115 -- a sequence
func (s recordState) Proved() int { return int(s.Signed) } // #nosec G115 -- a sequence

func (p *Pages) recordState(r *http.Request) (recordState, error) {
	s, err := p.Record.State(r.Context())
	state := recordState{State: s}
	now := p.Now()
	if s.CheckedAt != nil {
		state.Ago, state.CheckOverdue = ago(r, now.Sub(*s.CheckedAt)), now.Sub(*s.CheckedAt) > checkOverdue
	}
	if s.Signed > 0 {
		state.SignedAgo = ago(r, now.Sub(s.SignedAt))
	}
	if !s.Waiting.IsZero() && now.Sub(s.Waiting) > signOverdue {
		state.WaitingAgo, state.SignOverdue = ago(r, now.Sub(s.Waiting)), true
	}
	return state, err
}

// state answers with the state of the record only, which htmx puts in the place of the
// old one.
func (p *Pages) state(w http.ResponseWriter, r *http.Request) error {
	state, err := p.recordState(r)
	if err != nil {
		return err
	}
	return p.Fragment(w, r, set, "standing", page.View{Template: "events.html", Title: "Record", Section: section, Data: state})
}
