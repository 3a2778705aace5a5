package messages

import (
	"encoding/csv"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/record/export"
)

// reading is how long the reader may take for one batch.
const reading = time.Minute

var columns = []string{"portal_user_id", "name", "delivered_at", "alert", "alert_reason", "alert_at", "attempts", "opened_at"}

// export gives the recipients as a file (RFC 4180), as many of them as the filters
// choose. It is written while it is read, so that a million take no more memory
// than a page of them; where that fails half-way, the download breaks off, and does
// not end as if it were whole.
func (p *Pages) export(w http.ResponseWriter, r *http.Request) error {
	m, err := p.visible(r)
	if err != nil {
		return err
	}
	c, errs, err := p.chosenOf(r)
	if err != nil {
		return err
	}
	if len(errs) > 0 {
		return p.recipients(w, r)
	}
	f := &file{may: func() error { return p.still(r, m.ID) }, asked: time.Now(), w: w, name: "recipients-" + m.ID.String() + ".csv", csv: csv.NewWriter(w), control: http.NewResponseController(w)}
	f.csv.UseCRLF = true
	err = p.Messages.EachRecipient(r.Context(), m, c.filter(), c.Q, f.add)
	switch {
	case err == nil:
		return f.add(nil) // where there is nobody, the heads alone
	case f.begun:
		panic(http.ErrAbortHandler)
	}
	return err
}

// file is a file of recipients on its way to a reader.
type file struct {
	w       http.ResponseWriter
	name    string
	csv     *csv.Writer
	control *http.ResponseController
	begun   bool
	may     func() error // the reader still
	asked   time.Time
}

// look is how often a download that takes long is held against the policy.
const look = 5 * time.Second

// still fails where the reader may not look at the message any more.
func (p *Pages) still(r *http.Request, id uuid.UUID) error {
	reader, err := policy.Again(r.Context())
	if err == nil {
		_, err = p.Messages.Visible(r.Context(), reader, id)
	}
	return err
}

func (f *file) add(batch []messages.Delivery) error {
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		f.w.Header().Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
		// The mark in front has a spreadsheet read names as the UTF-8 that they are.
		_, _ = f.w.Write([]byte("\ufeff")) // Flush gives the error
		_ = f.csv.Write(columns)
	}
	if now := time.Now(); now.Sub(f.asked) > look {
		if f.asked = now; f.may() != nil {
			return errors.New("the reader may no longer see the message")
		}
	}
	_ = f.control.SetWriteDeadline(time.Now().Add(reading)) // the server's own is for pages
	for _, d := range batch {
		_ = f.csv.Write(line(d))
	}
	f.csv.Flush()
	return f.csv.Error()
}

func line(d messages.Delivery) []string {
	return []string{export.Inert(d.PortalUserID), export.Inert(d.Name), stamp(&d.DeliveredAt), d.AlertState, export.Inert(d.AlertReason),
		stamp(d.AlertAt), strconv.Itoa(d.Attempts), stamp(d.OpenedAt)}
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
