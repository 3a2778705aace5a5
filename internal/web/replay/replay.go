// Package replay is the pages to repeat failed alerts: the list of
// replays, the form of a plan, and the plan itself, which becomes the page of its
// progress once it is started.
//
// With scripts, htmx requests the progress while the replay runs, and replaces the
// numbers.
package replay

import (
	"embed"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/messages"
	"postern/internal/notify/replay"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

const (
	section = "operations"
	root    = "/operations/replays"
	perPage = 50
)

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Replays  *replay.Replays
	Messages *messages.Reader
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.Replay), Handle: handle}
	}
	return []page.Route{
		route("GET "+root, p.list),
		route("GET "+root+"/new", p.ask),
		route("POST "+root+"/new", p.ask),
		route("POST "+root, p.plan),
		route("GET "+root+"/{id}", p.show),
		route("POST "+root+"/{id}", p.control),
		route("GET "+root+"/{id}/progress", p.progress),
	}
}

// listed is the data of the list.
type listed struct {
	Rows          []shown
	Newest, Older string // addresses
}

func (p *Pages) list(w http.ResponseWriter, r *http.Request) error {
	before, data := uuid.Max, listed{}
	if text := r.FormValue("before"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return p.NotFound(w, r)
		}
		before, data.Newest = id, root
	}
	found, err := p.Replays.List(r.Context(), before, perPage+1)
	if err != nil {
		return err
	}
	if len(found) > perPage {
		found = found[:perPage]
		data.Older = root + "?before=" + found[perPage-1].ID.String()
	}
	if data.Rows, err = p.shownOf(r, found...); err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "list.html", Title: "Replays", Section: section, Data: data})
}

// find returns the replay in the address.
func (p *Pages) find(r *http.Request) (replay.Replay, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return replay.Replay{}, replay.ErrNotFound
	}
	return p.Replays.Get(r.Context(), id)
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) error {
	found, err := p.find(r)
	if err != nil {
		return err
	}
	return p.showReplay(w, r, found, page.View{})
}

func (p *Pages) showReplay(w http.ResponseWriter, r *http.Request, found replay.Replay, view page.View) error {
	all, err := p.shownOf(r, found)
	if err != nil {
		return err
	}
	all[0].TypedRate = r.PostFormValue("rate")
	if found.Status == replay.Planned && found.Excluded[replay.Repeated] > 0 {
		now, err := p.Replays.Preview(r.Context(), found.Filter)
		if err != nil {
			return err
		}
		all[0].RepeatedBy = now.RepeatedBy
	}
	view.Template, view.Title, view.Section, view.Data = "replay.html", "Replay", section, all[0]
	return p.Render(w, r, set, view)
}

// control starts, pauses, resumes or cancels a replay.
func (p *Pages) control(w http.ResponseWriter, r *http.Request) error {
	found, err := p.find(r)
	if err != nil {
		return err
	}
	ctx, actor, notice := r.Context(), page.Subject(r).Actor(), ""
	switch r.PostFormValue("do") {
	case "start":
		rate, wrong := rateOf(r)
		if wrong != "" {
			return p.showReplay(w, r, found, page.View{Errors: page.Errors{{Field: "rate", Message: wrong}}})
		}
		notice = language.Mark("You started the replay.")
		_, err = p.Replays.Start(ctx, actor, found.ID, rate)
	case "pause":
		notice = language.Mark("You paused the replay.")
		_, err = p.Replays.Pause(ctx, actor, found.ID)
	case "resume":
		notice = language.Mark("You resumed the replay.")
		_, err = p.Replays.Resume(ctx, actor, found.ID)
	case "cancel":
		notice = language.Mark("You cancelled the replay.")
		_, err = p.Replays.Cancel(ctx, actor, found.ID)
	}
	var late replay.WrongStatus
	if errors.As(err, &late) {
		if found, err = p.find(r); err != nil {
			return err
		}
		return p.showReplay(w, r, found, page.View{Status: http.StatusConflict, Errors: page.Errors{{Field: "state", Message: page.T(r, "Nothing was done: {why}", "why", page.T(r, late.Error()))}}})
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, root+"/"+found.ID.String(), notice)
}

// rateOf reads the rate. An empty field means no limit.
func rateOf(r *http.Request) (rate int, wrong string) {
	text := strings.ReplaceAll(strings.TrimSpace(r.PostFormValue("rate")), ",", "")
	if text == "" {
		return 0, ""
	}
	rate, err := strconv.Atoi(text)
	if err != nil || rate < 1 || rate > int(limits.ReplayRate) {
		return 0, page.T(r, "Enter a number of alerts a minute from 1 to {most}, or leave this empty for no limit", "most", int(limits.ReplayRate))
	}
	return rate, ""
}

// progress answers htmx with the parts of the page that have changed.
func (p *Pages) progress(w http.ResponseWriter, r *http.Request) error {
	found, err := p.find(r)
	if err != nil {
		return err
	}
	if !page.IsFragment(r) {
		return p.Redirect(w, r, root+"/"+found.ID.String(), "")
	}
	all, err := p.shownOf(r, found)
	if err != nil {
		return err
	}
	all[0].Before = r.FormValue("seen")
	return p.Fragment(w, r, set, "progress", page.View{Template: "replay.html", Data: all[0]})
}
