// Package record is the pages of who reads the record: events by what they are
// about, each event whole, the timeline of a message and of a portal user, what was
// disclosed and under which authority, and erasures.
//
// Every page that shows events is a reading of the record, which is on it before the
// page is shown; package reading sees to that. What only says how the record stands is
// none. Nothing can be changed here but by two people who erase content.
package record

import (
	"embed"
	"net/http"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/messages"
	"postern/internal/record/query"
	"postern/internal/record/retention"
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
	Record    *query.Reader
	Retention *retention.Retention
	Messages  *messages.Reader
	Gate      *access.Gate
	Directory directory.Querier
	Now       func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

const (
	// section is where these pages stand in the navigation.
	section = "record"
	// perPage is how many rows a page of a list has.
	perPage = 50
)

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	read := page.May(policy.ReadTheRecord)
	erase := page.May(policy.EraseContent)
	reads := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: read, Handle: notHead(handle)}
	}
	return []page.Route{
		reads("GET /record", p.events),
		reads("GET /record/state", p.state),
		reads("GET /record/{seq}", p.event),
		reads("GET /record/messages/{id}", p.message),
		reads("GET /record/portal-users/{id}", p.portalUser),
		reads("GET /record/portal-users/{id}/disclosures", p.disclosuresTo),
		reads("GET /record/patients/{id}", p.disclosuresAbout),
		{Pattern: "GET /record/erasures", Realm: policy.RealmStaff, Actions: page.May(policy.EraseContent, policy.ReadTheRecord), Handle: p.erasures},
		{Pattern: "GET /record/erasures/new", Realm: policy.RealmStaff, Actions: erase, Handle: p.newErasure},
		{Pattern: "GET /record/erasures/{id}", Realm: policy.RealmStaff, Actions: page.May(policy.EraseContent, policy.ReadTheRecord), Handle: p.erasure},
		{Pattern: "POST /record/erasures", Realm: policy.RealmStaff, Actions: erase, Handle: p.ask},
		{Pattern: "POST /record/erasures/{id}/approve", Realm: policy.RealmStaff, Actions: erase, Handle: p.approve},
		{Pattern: "POST /record/erasures/{id}/withdraw", Realm: policy.RealmStaff, Actions: erase, Handle: p.withdraw},
	}
}

// notHead refuses HEAD: it shows nothing, and must not count as a reading.
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

// reader is on whose behalf the record is read.
func reader(r *http.Request) query.Actor { return query.Actor(page.Subject(r).Actor()) }

// Both are done by the recorder that leads, the one every minute, the other every ten
// seconds: where they are this late, nobody does them.
const (
	checkOverdue = 3 * time.Minute
	signOverdue  = time.Minute
)

// standing is how the record stands, which every list has on top.
type standing struct {
	query.State
	Ago, SignedAgo, WaitingAgo string
	CheckOverdue, SignOverdue  bool
}

// Fine is whether all that can be known of the record was found to hold, and lately.
func (s standing) Fine() bool {
	return s.Whole && s.Key != "" && !s.OtherTree && !s.CheckOverdue && !s.SignOverdue
}

// Fresh is whether nothing is known yet, as right after the first start.
func (s standing) Fresh() bool { return s.CheckedAt == nil && s.SignedAt.IsZero() && !s.SignOverdue }

// Total and Proved are numbers as templates count.
func (s standing) Total() int  { return int(s.Events) } // #nosec G115 -- a sequence
func (s standing) Proved() int { return int(s.Signed) } // #nosec G115 -- a sequence

func (p *Pages) standing(r *http.Request) (standing, error) {
	s, err := p.Record.State(r.Context())
	stands := standing{State: s}
	now := p.Now()
	if s.CheckedAt != nil {
		stands.Ago, stands.CheckOverdue = ago(now.Sub(*s.CheckedAt)), now.Sub(*s.CheckedAt) > checkOverdue
	}
	if s.Signed > 0 {
		stands.SignedAgo = ago(now.Sub(s.SignedAt))
	}
	if !s.Waiting.IsZero() && now.Sub(s.Waiting) > signOverdue {
		stands.WaitingAgo, stands.SignOverdue = ago(now.Sub(s.Waiting)), true
	}
	return stands, err
}

// state answers with how the record stands alone, for htmx to put in the place of what
// was there.
func (p *Pages) state(w http.ResponseWriter, r *http.Request) error {
	stands, err := p.standing(r)
	if err != nil {
		return err
	}
	return p.Fragment(w, r, set, "standing", page.View{Template: "events.html", Title: "Record", Section: section, Data: stands})
}
