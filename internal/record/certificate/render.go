package certificate

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"sync"
	"time"

	"postern/internal/labels"
	"postern/internal/text/size"
	"postern/internal/text/zone"
)

//go:embed *.html
var files embed.FS

// Moment is how a certificate writes a time: one format, with seconds and the zone. Its zone is
// that of the process, which is the clinic's.
const Moment = "2006-01-02 15:04:05 UTC-07:00"

var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"at":    func(t time.Time) string { return zone.In(t).Format(Moment) },
		"bytes": size.Text,
		"lower": labels.Lower,
	}).ParseFS(files, "*.html"))
})

// described is the dot of the templates.
type described struct {
	C *Certificate
	L labels.Labels
}

// Article returns the certificate as an element of a page, with the clinic's labels.
func (c *Certificate) Article(l labels.Labels) (template.HTML, error) {
	text, err := c.render("certificate", l)
	return template.HTML(text), err // #nosec G203 -- html/template has escaped it
}

// Page returns the certificate as a page of its own, which needs no other file.
func (c *Certificate) Page(l labels.Labels) ([]byte, error) { return c.render("alone", l) }

func (c *Certificate) render(name string, l labels.Labels) ([]byte, error) {
	var b bytes.Buffer
	if err := templates().ExecuteTemplate(&b, name, described{c, l}); err != nil {
		return nil, fmt.Errorf("writing a certificate: %w", err)
	}
	return b.Bytes(), nil
}
