package api

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"postern/internal/problem"
	"postern/internal/problem/document"
	"postern/internal/web/static"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed reference.html
var referencePage string

//go:embed plain.html
var plainPage string

//go:embed plain.css
var plainStyle []byte

// referencePolicy lets the reference load its scripts, styles and the description from this site.
// Its icons are data in its style sheet. Nothing is loaded from another site.
const referencePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// docs registers the description of the API and two pages that show it: the reference, which is
// Stoplight Elements, and a plain page with the same content, which needs no scripts.
func (a *API) docs() {
	a.serveDescription("GET /openapi.json", "application/openapi+json", func() ([]byte, error) { return json.Marshal(a.huma.OpenAPI()) })
	a.serveDescription("GET /openapi.yaml", "application/openapi+yaml", func() ([]byte, error) { return a.huma.OpenAPI().YAML() })
	// Made at the first request, when every operation is registered.
	reference := sync.OnceValue(func() []byte { return a.page("reference", referencePage) })
	a.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", referencePolicy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(reference())
	})
	plain := sync.OnceValue(func() []byte { return a.page("plain", plainPage) })
	a.mux.HandleFunc("GET /docs/plain", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(plain())
	})
	a.mux.HandleFunc("GET /docs/style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(plainStyle)
	})
	a.mux.HandleFunc("GET /problems/{name}", func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: "/docs/plain", Fragment: r.PathValue("name")}
		http.Redirect(w, r, to.String(), http.StatusFound) // #nosec G710 -- the path is ours
	})
}

// serveDescription registers a form of the description. It is made once, at the first request, when
// every operation is registered. huma's own routes make it in each of two first requests at once,
// without a lock.
func (a *API) serveDescription(pattern, mediaType string, write func() ([]byte, error)) {
	written := sync.OnceValues(write)
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		text, err := written()
		if err != nil {
			document.Write(w, a.problems.Of(r.Context(), fmt.Errorf("describing the API: %w", err)))
			return
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(text)
	})
}

// pageData is what the pages of the description show.
type pageData struct {
	Info       *huma.Info
	Operations []*huma.Operation
	Kinds      []problem.Kind
	Guide      template.HTML
}

// Static returns the address of a file of the pages.
func (pageData) Static(name string) string { return static.URL(name) }

// page makes a page of the description.
func (a *API) page(name, text string) []byte {
	t := template.Must(template.New(name).Funcs(template.FuncMap{
		"code": inlineHTML, "request": requestExample, "answer": answerExample, "fields": a.requestFields}).Parse(text))
	var made bytes.Buffer
	data := pageData{Info: a.huma.OpenAPI().Info, Operations: a.operations(), Kinds: problem.Kinds(), Guide: markdownHTML(guide)}
	if err := t.Execute(&made, data); err != nil {
		panic(err) // the template and its data are ours
	}
	return made.Bytes()
}

// operations returns all operations, in the order of their topics, then by path and method.
func (a *API) operations() []*huma.Operation {
	var all []*huma.Operation
	for _, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Head, item.Options, item.Post, item.Put, item.Patch, item.Delete, item.Trace} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	place := func(op *huma.Operation) int {
		t, _ := topicOf(op.Path)
		return slices.IndexFunc(topics, func(other topic) bool { return other.name == t.name })
	}
	slices.SortFunc(all, func(x, y *huma.Operation) int {
		return cmp.Or(cmp.Compare(place(x), place(y)), strings.Compare(x.Path+" "+x.Method, y.Path+" "+y.Method))
	})
	return all
}

// requestField is a field of a request on the plain page.
type requestField struct{ Name, Meaning string }

// requestFields returns the fields of an operation's request, by name.
func (a *API) requestFields(op *huma.Operation) (all []requestField) {
	if op.RequestBody == nil {
		return nil
	}
	for _, m := range op.RequestBody.Content {
		all = a.appendFields(all, "", m.Schema)
	}
	slices.SortFunc(all, func(x, y requestField) int { return strings.Compare(x.Name, y.Name) })
	return all
}

func (a *API) appendFields(all []requestField, prefix string, s *huma.Schema) []requestField {
	if s == nil {
		return all
	}
	if s.Ref != "" {
		s = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	for name, p := range s.Properties {
		all = append(all, requestField{prefix + name, p.Description})
		all = a.appendFields(all, prefix+name+".", p)
	}
	return a.appendFields(all, prefix, s.Items)
}

// requestExample returns the example of an operation's request, or "".
func requestExample(op *huma.Operation) string {
	if op.RequestBody == nil {
		return ""
	}
	return exampleText(op.RequestBody.Content)
}

// answerExample returns the example of an operation's answer if it succeeds, or "".
func answerExample(op *huma.Operation) string {
	for status, r := range op.Responses {
		if strings.HasPrefix(status, "2") {
			return exampleText(r.Content)
		}
	}
	return ""
}

func exampleText(content map[string]*huma.MediaType) string {
	for _, m := range content {
		if text, isText := m.Example.(string); isText {
			return text
		}
		if m.Example == nil {
			continue
		}
		text, err := json.MarshalIndent(m.Example, "", "  ")
		if err != nil {
			panic(err) // the examples are ours
		}
		return string(text)
	}
	return ""
}
