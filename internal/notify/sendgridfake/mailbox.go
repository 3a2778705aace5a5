package sendgridfake

import (
	_ "embed"
	"html/template"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

//go:embed mailbox.html
var mailboxHTML string

//go:embed mailbox.css
var mailboxCSS []byte

var mailboxPage = template.Must(template.New("mailbox").Parse(mailboxHTML))

const pageSize = 50

// page is the data of the template.
type page struct {
	Mails        []mailView
	First, Last  int
	Kept, Total  int
	Newer, Older int // page numbers, 0 for none
}

type mailView struct {
	Number  int
	At      time.Time
	To      string
	Subject string
	From    string
	Text    string
	Links   []string
}

// Mailbox serves a page with the stored mails, newest first, without scripts. It can be
// mounted at any path: its stylesheet and its other pages are queries of that path.
func (f *Fake) Mailbox() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Query().Has("stylesheet") {
			h.Set("Content-Type", "text/css; charset=utf-8")
			h.Set("Cache-Control", "max-age=3600")
			_, _ = w.Write(mailboxCSS)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		number, _ := strconv.Atoi(r.URL.Query().Get("page"))
		// Only the connection can fail, and then the client can't get an error.
		_ = mailboxPage.Execute(w, f.page(number))
	})
}

// page gives the page with the number, from 1, or the nearest existing page.
func (f *Fake) page(number int) page {
	batches := f.kept.snapshot()
	p := page{Total: f.Count()}
	for _, b := range batches {
		p.Kept += len(b.ends)
	}
	if p.Kept == 0 {
		return p
	}
	pages := (p.Kept + pageSize - 1) / pageSize
	number = min(max(number, 1), pages)
	p.First = (number-1)*pageSize + 1
	p.Last = min(number*pageSize, p.Kept)
	if number > 1 {
		p.Newer = number - 1
	}
	if number < pages {
		p.Older = number + 1
	}
	skip := p.First - 1
	for i := len(batches) - 1; i >= 0 && len(p.Mails) < pageSize; i-- {
		b := batches[i]
		if skip >= len(b.ends) {
			skip -= len(b.ends)
			continue
		}
		for j := len(b.ends) - 1 - skip; j >= 0 && len(p.Mails) < pageSize; j-- {
			p.Mails = append(p.Mails, show(b.mail(j), p.First+len(p.Mails)))
		}
		skip = 0
	}
	return p
}

var link = regexp.MustCompile(`https?://[^\s<>"]+`)

func show(m Mail, number int) mailView {
	return mailView{
		Number: number, At: m.At.UTC(), To: m.To, From: m.Letter.From,
		Subject: m.Letter.Subject, Text: m.Letter.Text, Links: link.FindAllString(m.Letter.Text, 3),
	}
}
