package compose

import (
	"encoding/csv"
	"net/http"
	"time"

	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/record/export"
	"postern/internal/web/page"
)

// letters lists the recipients without an e-mail address, a page at a time. They can't
// sign in, so the message reaches them by post alone.
func (p *Pages) letters(w http.ResponseWriter, r *http.Request) error {
	some := audience{p.Composer.AudienceWithoutEmail, func(c directory.Counts) int { return c.Warnings[string(directory.NoAddress)] }}
	return p.listed(w, r, some, page.View{Template: "letters.html", Title: "Recipients without an e-mail address"})
}

// writing is how long the reader may take for one batch of a file.
const writing = time.Minute

// lettersFile gives the same as a file (RFC 4180), read and written in batches. Each batch
// is read by the permissions that the reader has by then. Where a batch fails the download
// breaks off, and does not end as if it were whole.
func (p *Pages) lettersFile(w http.ResponseWriter, r *http.Request) error {
	d, err := p.open(r)
	if err != nil {
		return err
	}
	l, err := p.Labels.Current(r.Context())
	if err != nil {
		return err
	}
	reader := page.Subject(r)
	file, control := csv.NewWriter(w), http.NewResponseController(w)
	file.UseCRLF = true
	for cursor, begun := "", false; ; begun = true {
		if begun {
			if reader, err = policy.Again(r.Context()); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		found, next, err := p.Composer.AudienceWithoutEmail(r.Context(), reader, d.Recipients, directory.MostPerPage, cursor)
		if err != nil && !begun {
			return err
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if !begun {
			w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
			w.Header().Set("Content-Disposition", `attachment; filename="letters-`+d.ID.String()+`.csv"`)
			// The mark in front has a spreadsheet read names as the UTF-8 that they are.
			_, _ = w.Write([]byte("\ufeff")) // Flush gives the error
			_ = file.Write([]string{"portal_user_id", "name", "who"})
		}
		_ = control.SetWriteDeadline(time.Now().Add(writing)) // the server's own is for pages
		for _, m := range found {
			_ = file.Write([]string{export.Inert(m.ID), export.Inert(m.Name), export.Inert(who(l, m.PortalUser, p.Now()))})
		}
		if file.Flush(); file.Error() != nil {
			panic(http.ErrAbortHandler)
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
