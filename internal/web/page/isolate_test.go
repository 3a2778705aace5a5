package page

import (
	"postern/internal/text/language"
	"strings"
	"testing"
	"testing/fstest"
)

// Right-to-left text is isolated from the text around it. In an element with dir="auto" that
// begins with it, it sets the direction instead.
func TestIsolate(t *testing.T) {
	t.Parallel()
	const hebrew, apart = "כהן", "<bdi>כהן</bdi>"
	for template, want := range map[string]string{
		`<p>{{.}}</p>`:                                          `<p>` + apart + `</p>`,
		`<p>From {{.}}</p>`:                                     `<p>From ` + apart + `</p>`,
		`<input value="{{.}}">`:                                 `<input value="` + hebrew + `">`,
		`<title>{{.}}</title>`:                                  `<title>` + hebrew + `</title>`,
		`<h1 dir="auto">{{.}}</h1>`:                             `<h1 dir="auto">` + hebrew + `</h1>`,
		`<h1 dir="auto">{{if .}}{{.}}{{else}}x{{end}}</h1>`:     `<h1 dir="auto">` + hebrew + `</h1>`,
		`<h1 dir="auto">{{if not .}}x{{else}}{{.}}{{end}}</h1>`: `<h1 dir="auto">` + hebrew + `</h1>`,
		`<h1 dir="auto">From {{.}}</h1>`:                        `<h1 dir="auto">From ` + apart + `</h1>`,
		`<h1 dir="auto">{{.}}, {{.}}</h1>`:                      `<h1 dir="auto">` + hebrew + `, ` + apart + `</h1>`,
		`<h1 dir="auto"></h1>{{.}}`:                             `<h1 dir="auto"></h1>` + apart,
		`<h2 dir="auto">{{if .}}<b>New</b> {{end}}{{.}}</h2>`:   `<h2 dir="auto"><b>New</b> ` + apart + `</h2>`,
		`<h2 dir="auto"><a>{{.}}</a></h2>`:                      `<h2 dir="auto"><a>` + apart + `</a></h2>`,
	} {
		set := Templates(fstest.MapFS{"a.html": {Data: []byte(`{{define "main"}}` + template + `{{end}}`)}})
		var got strings.Builder
		if err := set.byName(language.English)["a.html"].ExecuteTemplate(&got, "main", hebrew); err != nil {
			t.Fatal(err)
		}
		if got.String() != want {
			t.Errorf("%s is %s, want %s", template, got.String(), want)
		}
	}
}
