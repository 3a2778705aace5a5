package api

import (
	"bytes"
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

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle []byte

var docsTemplate = template.Must(template.New("docs").Parse(docsPage))

// docs registers the description of the API, and a page that lists all operations and kinds of
// problems, made from the same description. The page needs no script and no other site.
func (a *API) docs() {
	a.serveDescription("GET /openapi.json", "application/openapi+json", func() ([]byte, error) { return json.Marshal(a.huma.OpenAPI()) })
	a.serveDescription("GET /openapi.yaml", "application/openapi+yaml", func() ([]byte, error) { return a.huma.OpenAPI().YAML() })
	// Made at the first request, when every operation is registered.
	page := sync.OnceValue(func() []byte {
		var rendered bytes.Buffer
		err := docsTemplate.Execute(&rendered, map[string]any{"Info": a.huma.OpenAPI().Info, "Operations": a.operations(), "Kinds": kinds()})
		if err != nil {
			panic(err) // the template and its data are ours
		}
		return rendered.Bytes()
	})
	a.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page())
	})
	a.mux.HandleFunc("GET /docs/style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(docsStyle)
	})
	a.mux.HandleFunc("GET /problems/{name}", func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: "/docs", Fragment: r.PathValue("name")}
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

// operations returns all operations, sorted by tag, path and method.
func (a *API) operations() []*huma.Operation {
	var all []*huma.Operation
	for _, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Head, item.Options, item.Post, item.Put, item.Patch, item.Delete, item.Trace} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	slices.SortFunc(all, func(x, y *huma.Operation) int {
		return strings.Compare(x.Tags[0]+x.Path+x.Method, y.Tags[0]+y.Path+y.Method)
	})
	return all
}

// kinds returns the titles of the kinds of problems, by name.
func kinds() map[string]string {
	titles := map[string]string{}
	for _, k := range problem.Kinds() {
		titles[k.Name] = k.Title
	}
	return titles
}
