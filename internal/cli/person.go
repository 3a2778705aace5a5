package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/directory"
	"postern/internal/directory/audience/matter"
	"postern/internal/inbox/delivered"
	"postern/internal/messages"
	"postern/internal/record/query"
	"postern/internal/text/language"
	"postern/internal/text/zone"
)

// personFlags are the filters of `postern person`.
type personFlags struct {
	show, from, to string
	limit          int
}

func (f *personFlags) filter(portalUser string) (query.SentFilter, error) {
	period, err := (&filterFlags{from: f.from, to: f.to}).filter()
	if err != nil {
		return query.SentFilter{}, err
	}
	if !slices.Contains(query.Shows, query.Show(f.show)) {
		return query.SentFilter{}, usageError{fmt.Errorf("--show %q is not one of all, sent, not_opened and not_sent", f.show)}
	}
	if f.limit < 1 || f.limit > 500 {
		return query.SentFilter{}, usageError{errors.New("--limit must be 1 to 500")}
	}
	return query.SentFilter{PortalUserID: portalUser, Show: query.Show(f.show), From: period.From, To: period.To}, nil
}

func (env *environment) personCommand() *cobra.Command {
	var flags personFlags
	c := &cobra.Command{Use: "person NAME|ID", Short: "Say what was sent to a portal user, what they did with it, and what was not sent, and why", Args: cobra.MinimumNArgs(1),
		Long: "Lists the messages to a portal user, newest first: since when each can be read, the e-mail about it, when\n" +
			"it was opened and its documents downloaded, or why it was not sent to them. It shows no content and no\n" +
			"subject. With a name that several portal users have, it lists them. Reading it is recorded.",
		Example: "  postern person Ingrid Berg\n  postern person pu-17 --show not_opened --from 2026-01-01T00:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := flags.filter(""); err != nil {
				return err
			}
			ctx := cmd.Context()
			return env.with(ctx, func(s *system) error { return env.person(ctx, s, strings.Join(args, " "), flags) })
		}}
	c.Flags().StringVar(&flags.show, "show", string(query.ShowAll), "all, sent, not_opened or not_sent")
	c.Flags().StringVar(&flags.from, "from", "", "only messages sent at this time or later, for example 2026-01-31T09:30:00Z")
	c.Flags().StringVar(&flags.to, "to", "", "only messages sent before this time")
	c.Flags().IntVar(&flags.limit, "limit", 50, "the most messages to list, up to 500")
	return c
}

// person says what was sent to the portal user with an id or a name.
func (env *environment) person(ctx context.Context, s *system, who string, flags personFlags) error {
	u, err := s.portalUser(ctx, who)
	if err != nil {
		return err
	}
	f, err := flags.filter(u.ID)
	if err != nil {
		return err
	}
	why, err := messages.New(s.pool).WhyNoAlert(ctx, u.ID)
	if err != nil {
		return err
	}
	sent, more, err := s.recordReader().SentTo(ctx, query.Actor(operator()), f, uuid.Max, flags.limit)
	if err != nil {
		return err
	}
	if env.json {
		return env.say(personJSONOf(u, why, sent, more), "")
	}
	return env.printPerson(u, why, sent, more)
}

// portalUser finds a portal user by id, or by a name that one portal user has. The search by name is
// recorded.
func (s *system) portalUser(ctx context.Context, who string) (directory.PortalUser, error) {
	u, err := directory.PortalUserByID(ctx, s.pool, who)
	if !errors.Is(err, directory.ErrNotFound) {
		return u, err
	}
	const most = 20
	found, err := s.recordReader().FindPortalUsers(ctx, query.Actor(operator()), who, most)
	if err != nil {
		return u, err
	}
	switch len(found) {
	case 0:
		return u, fmt.Errorf("no portal user has the id %q, and no name matches it: try the beginning of a name", who)
	case 1:
		return found[0], nil
	}
	lines := []string{fmt.Sprintf("%q matches several portal users: give the id of one", who)}
	for _, one := range found {
		lines = append(lines, "  "+one.ID+"  "+one.Name)
	}
	if len(found) == most {
		lines = append(lines, "  and perhaps more")
	}
	return u, errors.New(strings.Join(lines, "\n"))
}

// personJSON is the answer of `postern person --json`. Its messages are like the items of
// GET /v1/portal-users/{id}/deliveries, without subjects and names.
type personJSON struct {
	ID       string           `json:"portal_user_id"`
	Name     string           `json:"name"`
	Active   bool             `json:"active"`
	NoAlert  string           `json:"no_alert"` // why they get no e-mail about a new message now
	Patients []personLinkJSON `json:"patients"`
	Messages []sentJSON       `json:"messages"`
	More     bool             `json:"more"`
}

type personLinkJSON struct {
	ID           string `json:"patient_id"`
	Name         string `json:"name"`
	Relationship string `json:"relationship"`
	From         string `json:"from"`
	Until        string `json:"until"`
}

type sentJSON struct {
	MessageID   uuid.UUID          `json:"message_id"`
	SenderID    string             `json:"sender_id"`
	Sender      string             `json:"sender"`
	Groups      []string           `json:"groups"`
	Status      string             `json:"status"`
	SentAt      time.Time          `json:"sent_at"`
	CancelledAt *time.Time         `json:"cancelled_at"`
	RecalledAt  *time.Time         `json:"recalled_at"`
	DeliveredAt *time.Time         `json:"delivered_at"`
	ReadableAt  *time.Time         `json:"readable_at"`
	DeliverySeq uint64             `json:"delivery_seq,omitempty"`
	Alert       *alertJSON         `json:"alert,omitempty"`
	OpenedAt    *time.Time         `json:"opened_at"`
	Downloads   []downloadJSON     `json:"downloads"`
	About       []string           `json:"about"`       // ids of the patients whom the message to them concerns
	AboutBasis  string             `json:"about_basis"` // how that is known; "" if it was not sent to them
	NotSent     *personNotSentJSON `json:"not_sent,omitempty"`
}

type alertJSON struct {
	State    string     `json:"state"`
	Reason   string     `json:"reason"`
	At       *time.Time `json:"at"`
	Attempts int        `json:"attempts"`
}

type downloadJSON struct {
	AttachmentID uuid.UUID `json:"attachment_id"`
	Number       int       `json:"number"`
	DownloadedAt time.Time `json:"downloaded_at"`
	Seq          uint64    `json:"seq"`
}

type personNotSentJSON struct {
	Reason   string   `json:"reason"`
	Words    string   `json:"words"`
	Patients []string `json:"patients"`
}

func personJSONOf(u directory.PortalUser, why string, sent []query.Sent, more bool) personJSON {
	p := personJSON{ID: u.ID, Name: u.Name, Active: u.Active, NoAlert: why, Patients: []personLinkJSON{}, Messages: make([]sentJSON, len(sent)), More: more}
	for _, l := range u.Patients {
		p.Patients = append(p.Patients, personLinkJSON{l.ID, l.Name, l.Relationship, l.From, l.Until})
	}
	for i, m := range sent {
		one := sentJSON{MessageID: m.MessageID, SenderID: m.SenderID, Sender: m.Sender, Groups: append([]string{}, m.Groups...), Status: string(m.Status), SentAt: m.SentAt,
			CancelledAt: m.CancelledAt, RecalledAt: m.RecalledAt, Downloads: []downloadJSON{}, About: []string{}}
		if n := m.NotSent; n != nil {
			one.NotSent = &personNotSentJSON{n.Reason(), delivered.Plain(n.Words()), []string{}}
			if n.Why != nil {
				one.NotSent.Patients = append(one.NotSent.Patients, n.Why.Patients...)
			}
		}
		if d := m.Delivery; d != nil {
			one.DeliveredAt, one.ReadableAt, one.DeliverySeq, one.OpenedAt = &d.DeliveredAt, d.ReadableAt, d.Seq, d.OpenedAt
			one.About, one.AboutBasis = d.Matter.IDs(), d.Matter.Basis.Known()
			one.Alert = &alertJSON{string(d.AlertState), d.AlertReason, d.AlertAt, d.Attempts}
			for _, got := range d.Downloads {
				one.Downloads = append(one.Downloads, downloadJSON{got.AttachmentID, got.Number, got.At, got.Seq})
			}
		}
		p.Messages[i] = one
	}
	return p
}

// stamp is the form of a time in tables: UTC, to the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (env *environment) printPerson(u directory.PortalUser, why string, sent []query.Sent, more bool) error {
	state := "active"
	if !u.Active {
		state = "not active"
	}
	alerts := "yes"
	if why != "" {
		alerts = "no: " + why
	}
	_, _ = fmt.Fprintf(env.out, "%s (%s)\naccount: %s\ne-mail about a new message now: %s\n", u.Name, u.ID, state, alerts)
	for _, l := range u.Patients {
		term, _ := directory.Term(language.English, l.From, l.Until, zone.Now().Format(time.DateOnly))
		_, _ = fmt.Fprintln(env.out, strings.TrimSuffix(fmt.Sprintf("patient: %s (%s), %s, %s", l.Name, l.ID, l.Relationship, term), ", "))
	}
	_, _ = fmt.Fprintln(env.out)
	if len(sent) == 0 {
		_, err := fmt.Fprintln(env.out, "no messages")
		return err
	}
	w := newTable(env.out)
	_, _ = fmt.Fprintln(w, "MESSAGE\tSENT\tBY\tCOULD BE READ SINCE\tE-MAIL ABOUT IT\tOPENED\tDOWNLOADS\tCONCERNS")
	for _, m := range sent {
		printSent(w, m)
	}
	if more {
		_, _ = fmt.Fprintln(w, "There are more: raise --limit, or give --to.")
	}
	return w.Flush()
}

func printSent(w io.Writer, m query.Sent) {
	head := fmt.Sprintf("%s\t%s\t%s", m.MessageID, stamp(m.SentAt), m.Sender)
	d := m.Delivery
	if d == nil {
		_, _ = fmt.Fprintf(w, "%s\tnot sent to them: %s\n", head, delivered.Plain(m.NotSent.Words()))
		return
	}
	opened := "not opened"
	if d.OpenedAt != nil {
		opened = stamp(*d.OpenedAt)
	}
	since := "not yet"
	if d.ReadableAt != nil {
		since = stamp(*d.ReadableAt)
	}
	if m.RecalledAt != nil {
		since += ", recalled " + stamp(*m.RecalledAt)
	}
	var downloads []string
	for _, got := range d.Downloads {
		downloads = append(downloads, fmt.Sprintf("document %d %s", got.Number, stamp(got.At)))
	}
	if len(m.Documents) > 0 && len(downloads) == 0 {
		downloads = append(downloads, "not downloaded")
	}
	concerns := strings.Join(d.Matter.IDs(), ", ")
	switch d.Matter.Basis {
	case matter.NotStated:
		concerns = strings.TrimSpace("not stated " + strings.Join(d.Matter.IDs(), ", "))
	case "":
		concerns = "not known"
	}
	_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", head, since, strings.ToLower(d.AlertWords()[:1])+d.AlertWords()[1:], opened, strings.Join(downloads, ", "), concerns)
}
