package compose

import (
	"encoding/csv"
	"net/http"
	"time"

	"postern/internal/access/policy"
	"postern/internal/directory"
	audiences "postern/internal/directory/audience"
	"postern/internal/record/export"
	"postern/internal/web/page"
)

// letters lists the recipients without an e-mail address, a page at a time. They can't
// sign in, so the message reaches them only by post.
func (p *Pages) letters(w http.ResponseWriter, r *http.Request) error {
	some := audience{p.Composer.AudienceWithoutEmail, func(c audiences.Counts) int { return c.Warnings[string(audiences.NoAddress)] }}
	return p.listed(w, r, some, page.View{Template: "letters.html", Title: "Recipients without an e-mail address"})
}

// batchTimeout is how long the client may take to receive one batch of a file.
const batchTimeout = time.Minute

// lettersFile returns the same list as a file (RFC 4180), read and written in batches.
// The reader's permissions are checked again for each batch. If a batch fails, the
// connection is aborted, so that the file does not seem complete.
func (p *Pages) lettersFile(w http.ResponseWriter, r *http.Request) error {
	d, err := p.open(r)
	if err != nil {
		return err
	}
	l, err := p.words(r)
	if err != nil {
		return err
	}
	reader := page.Subject(r)
	file, control := csv.NewWriter(w), http.NewResponseController(w)
	file.UseCRLF = true
	for cursor, begun := "", false; ; begun = true {
		if begun {
			if reader, err = policy.Reauthenticate(r.Context()); err != nil {
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
			// A byte order mark, so that spreadsheets read the file as UTF-8.
			_, _ = w.Write([]byte("\ufeff")) // Flush returns the error
			_ = file.Write([]string{"portal_user_id", "name", "who"})
		}
		_ = control.SetWriteDeadline(time.Now().Add(batchTimeout)) // the server's own deadline is for pages
		for _, m := range found {
			_ = file.Write([]string{export.EscapeFormula(m.ID), export.EscapeFormula(m.Name), export.EscapeFormula(who(l, m.PortalUser, p.Now()))})
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
