package messages

import (
	"encoding/csv"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/record/export"
)

// batchTimeout is how long the client may take to receive one batch.
const batchTimeout = time.Minute

var columns = []string{"portal_user_id", "name", "delivered_at", "alert", "alert_reason", "alert_at", "attempts", "opened_at", "readable_at", "about", "about_basis", "link_ended"}

// export returns the recipients that match the filters as a file (RFC 4180). It is
// written while it is read, so a million recipients take no more memory than one page.
// If reading fails part-way, the connection is aborted, so that the file does not seem
// complete.
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
	f := &file{concerned: func(batch []messages.Delivery) (map[int32]messages.Concerned, error) {
		return p.Messages.Concerned(r.Context(), m.ID, batch)
	}, may: func() error { return p.stillVisible(r, m.ID) }, asked: time.Now(), w: w, name: "recipients-" + m.ID.String() + ".csv", csv: csv.NewWriter(w), control: http.NewResponseController(w)}
	f.csv.UseCRLF = true
	err = p.Messages.EachRecipient(r.Context(), m, c.filter(), c.Q, f.add)
	switch {
	case err == nil:
		return f.add(nil) // without recipients, the header line only
	case f.begun:
		panic(http.ErrAbortHandler)
	}
	return err
}

// file is a file of recipients that is being sent.
type file struct {
	w       http.ResponseWriter
	name    string
	csv     *csv.Writer
	control *http.ResponseController
	begun   bool
	may     func() error // fails if the reader may no longer see the message
	asked   time.Time
	// concerned says whom the message to some recipients concerns, by their numbers.
	concerned func([]messages.Delivery) (map[int32]messages.Concerned, error)
}

// recheckInterval is how often a long download checks the reader's permission again.
const recheckInterval = 5 * time.Second

// stillVisible fails if the reader may no longer see the message.
func (p *Pages) stillVisible(r *http.Request, id uuid.UUID) error {
	reader, err := policy.Reauthenticate(r.Context())
	if err == nil {
		_, err = p.Messages.Visible(r.Context(), reader, id)
	}
	return err
}

func (f *file) add(batch []messages.Delivery) error {
	concerned, err := f.concerned(batch) // without recipients it reads nothing
	if err != nil {
		return err
	}
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		f.w.Header().Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
		// A byte order mark, so that spreadsheets read the file as UTF-8.
		_, _ = f.w.Write([]byte("\ufeff")) // Flush returns the error
		_ = f.csv.Write(columns)
	}
	if now := time.Now(); now.Sub(f.asked) > recheckInterval {
		if f.asked = now; f.may() != nil {
			return errors.New("the reader may no longer see the message")
		}
	}
	_ = f.control.SetWriteDeadline(time.Now().Add(batchTimeout)) // the server's own deadline is for pages
	for _, d := range batch {
		_ = f.csv.Write(line(d, concerned[d.PortalUserNo]))
	}
	f.csv.Flush()
	return f.csv.Error()
}

func line(d messages.Delivery, c messages.Concerned) []string {
	about := make([]string, len(c.Patients))
	for i, p := range c.Patients {
		about[i] = p.ID
	}
	return []string{export.EscapeFormula(d.PortalUserID), export.EscapeFormula(d.Name), stamp(&d.DeliveredAt), d.AlertState, export.EscapeFormula(d.AlertReason),
		stamp(d.AlertAt), strconv.Itoa(d.Attempts), stamp(d.OpenedAt), stamp(d.ReadableAt), export.EscapeFormula(strings.Join(about, " ")), c.Basis.Known(), strconv.FormatBool(c.Ended)}
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
