package page

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/access/policy"
	"postern/internal/clinic"
	"postern/internal/labels"
	"postern/internal/navigation"
	"postern/internal/text/language"
)

//go:embed templates/*.html
var base embed.FS

// Set holds the templates of a package of pages, each within the layout. It may be used by many
// goroutines at once.
type Set struct {
	files fs.FS
	mu    sync.Mutex
	in    map[language.Language]map[string]*template.Template
}

// shared is the file whose definitions all other files of a set may use.
const shared = "shared.html"

// Templates returns the set of every .html file of a file system. They are parsed for each language
// at the first use, because most processes and all verbs of the command line show no page. That use
// panics if one is not a valid template: embedded files can't change after the build, and the tests
// show every page.
func Templates(files fs.FS) *Set {
	return &Set{files: files, in: map[language.Language]map[string]*template.Template{}}
}

// byName returns the templates of a language by the names of their files.
func (s *Set) byName(l language.Language) map[string]*template.Template {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in[l] == nil {
		s.in[l] = parsed(s.files, l)
	}
	return s.in[l]
}

func parsed(files fs.FS, l language.Language) map[string]*template.Template {
	layout := template.Must(template.New("").Funcs(funcsIn(l)).ParseFS(base, "templates/*.html"))
	if own, err := fs.ReadFile(files, shared); err == nil {
		template.Must(layout.New(shared).Parse(string(own)))
	}
	byName := map[string]*template.Template{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".html" || name == shared {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		t := template.Must(template.Must(layout.Clone()).New(path.Base(name)).Parse(string(text)))
		isolateAll(t)
		byName[path.Base(name)] = t
		return nil
	})
	if err != nil {
		panic(err)
	}
	return byName
}

// Part returns a file of the set, without the layout, in a language: for the part of a page that is
// for another reader than the page. The file has the definition "part"; its dot is data.
func (s *Set) Part(l language.Language, file string, data any) (template.HTML, error) {
	t := s.byName(l)[file]
	if t == nil {
		return "", fmt.Errorf("there is no template %q", file)
	}
	var part strings.Builder
	if err := t.ExecuteTemplate(&part, "part", data); err != nil {
		return "", fmt.Errorf("rendering %s: %w", file, err)
	}
	return template.HTML(part.String()), nil // #nosec G203 -- of a template
}

// View is a page to be rendered.
type View struct {
	Template string   // the file's name
	Title    string   // kept in the browser's history
	Section  string   // the item of the navigation that it belongs to
	Scripts  []string // modules of static that this page needs besides app.js
	Data     any
	Errors   Errors
	Status   int // 0: 200, or 422 with errors
}

// Errors are the errors of a form.
type Errors []Error

// Error is one error of a form: Field is the id of its input.
type Error struct{ Field, Message string }

// Of returns the message for a field, "" if the field has no error.
func (e Errors) Of(field string) string {
	for _, one := range e {
		if one.Field == field {
			return one.Message
		}
	}
	return ""
}

// Frame is the dot of every page.
type Frame struct {
	View
	Language language.Language
	// Languages are those to choose from, and LanguageAt is the address to which the choice is posted.
	// There are none on a page without a session.
	Languages  []language.Language
	LanguageAt string
	// Here is the address to which the choice of a language leads: of this page, or of the first page
	// where this page answers a form.
	Here  string
	Realm policy.Realm
	Me    *policy.Subject // nil: not signed in
	L     labels.Labels
	// Clinic is what portal users see of the clinic. On pages of staff it is empty.
	Clinic clinic.Face
	Nav    []navigation.Item
	Notice string // the result of the previous request
	Path   string // of the request, with its query
	// Pauses of alerting are shown on every page to readers who can end them.
	Pauses []Pause
	// Left is the number of seconds until the session ends without another request; 0
	// without a session. Until is that time. Most is the number of seconds until the
	// session ends in any case.
	Left  int
	Most  int
	Until time.Time
}

// Site is the name of the site in the header and in titles: that of the clinic in the portal.
func (f Frame) Site() string { return cmp.Or(f.Clinic.Name, "Postern") }

// May reports whether the reader may do an action.
func (f Frame) May(action policy.Action) bool {
	return f.Me != nil && policy.Allow(*f.Me, action) == nil
}

// Render answers with a page.
func (rd *Renderer) Render(w http.ResponseWriter, r *http.Request, set *Set, v View) error {
	return rd.execute(w, r, set, "layout", v)
}

// Fragment answers with one definition of the view's template, without the layout.
// Its dot is a [Frame] too.
func (rd *Renderer) Fragment(w http.ResponseWriter, r *http.Request, set *Set, definition string, v View) error {
	return rd.execute(w, r, set, definition, v)
}

func (rd *Renderer) execute(w http.ResponseWriter, r *http.Request, set *Set, definition string, v View) error {
	t := set.byName(language.From(r.Context()))[v.Template]
	if t == nil {
		return fmt.Errorf("there is no template %q", v.Template)
	}
	frame, err := rd.frame(w, r, v)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := t.ExecuteTemplate(&page, definition, frame); err != nil {
		return fmt.Errorf("rendering %s: %w", v.Template, err)
	}
	status := v.Status
	switch {
	case status != 0:
	case len(v.Errors) > 0:
		status = http.StatusUnprocessableEntity
	default:
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", frame.Language.Tag())
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // an error means that the client has gone
	return nil
}

func (rd *Renderer) frame(w http.ResponseWriter, r *http.Request, v View) (*Frame, error) {
	f := &Frame{View: v, Realm: realmOf(r.Context()), Notice: rd.takeNotice(w, r), Path: r.URL.RequestURI()}
	f.speak(r)
	var err error
	if f.L, err = rd.cfg.Labels(r.Context()); err != nil {
		return nil, err
	}
	if f.Realm == policy.RealmPortalUser {
		if f.Clinic, err = rd.cfg.Clinic(r.Context()); err != nil {
			return nil, err
		}
	}
	if f.Realm == NoSession {
		return f, nil
	}
	subject, err := policy.SubjectFrom(r.Context())
	if errors.Is(err, policy.ErrUnauthenticated) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	left, most := rd.cfg.Sessions.SessionLeft(r.Context(), f.Realm)
	f.Me, f.Left, f.Most = &subject, int(left.Seconds()), int(most.Seconds())
	f.Until = time.Now().Add(time.Duration(f.Left) * time.Second)
	if f.Nav, err = rd.nav(r, subject, f.L, f.Section); err != nil {
		return nil, err
	}
	if f.May(policy.Replay) {
		f.Pauses, err = rd.cfg.Pauses(r.Context())
	}
	return f, err
}

// nav is the main menu, with the number of unread notices. A fragment of a page has no menu.
func (rd *Renderer) nav(r *http.Request, subject policy.Subject, l labels.Labels, section string) ([]navigation.Item, error) {
	if IsFragment(r) {
		return nil, nil
	}
	items := navigation.Main(subject, l, section)
	i := slices.IndexFunc(items, func(i navigation.Item) bool { return i.Href == navigation.NoticesAt })
	if i < 0 {
		return items, nil
	}
	n, err := rd.cfg.Unread(r.Context(), subject)
	switch {
	case err != nil:
		return nil, err
	case n >= MostUnread:
		items[i].Count = strconv.Itoa(MostUnread-1) + "+"
	case n > 0:
		items[i].Count = strconv.Itoa(n)
	}
	return items, nil
}

type contextKey struct{}

func withRealm(ctx context.Context, realm policy.Realm) context.Context {
	return context.WithValue(ctx, contextKey{}, realm)
}

func realmOf(ctx context.Context) policy.Realm {
	realm, _ := ctx.Value(contextKey{}).(policy.Realm)
	return realm
}

// Lower returns a label as it is written within a sentence.
func Lower(label string) string { return labels.Lower(label) }
