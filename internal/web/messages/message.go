package messages

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/draft"
	"postern/internal/content/message"
	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/messages/notice"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/record/retention"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// shown is the data of a message's page.
type shown struct {
	snapshot
	message.Heading
	Gone   *gone // the erasure of its content, nil if it was not erased
	To     addressees
	ByPost messages.Total // recipients without an e-mail address
	// Failures are the reasons for which alerts failed or are unknown.
	Failures []failure
	// Ended is the reader's notice that the message has ended, nil for none.
	Ended *notice.Notice
	// Replays are those that are not over and have alerts of the message. Staff who may replay see
	// them.
	Replays []replay.Open

	// The rest is for the sender and Staff Bcc only.
	Content bool
	Body    string
	Bcc     []string // names
}

// Erased reports whether the content was erased. Missing reports whether the content
// can't be found although it was not erased.
func (s shown) Erased() bool  { return s.Condition == message.Erased }
func (s shown) Missing() bool { return s.Condition == message.Missing }

// named is how many of the people chosen one by one the page of a message names.
const named = 20

// mostReplays is how many replays the page of a message names.
const mostReplays = 10

func (p *Pages) message(w http.ResponseWriter, r *http.Request) error {
	m, err := p.visible(r)
	if err != nil {
		return err
	}
	return p.showMessage(w, r, m, page.View{})
}

func (p *Pages) showMessage(w http.ResponseWriter, r *http.Request, m messages.Message, view page.View) error {
	stands, err := p.snapshotOf(r, m)
	if err != nil {
		return err
	}
	s := shown{snapshot: stands, Content: m.Role != messages.RoleNone}
	if err := p.open(r.Context(), &s); err != nil {
		return err
	}
	if s.Erased() {
		if s.Gone, err = p.gone(r.Context(), m.ID); err != nil {
			return err
		}
	}
	to, err := p.addresseesOf(r.Context(), []messages.Message{m}, named)
	if err != nil {
		return err
	}
	s.To = to[0]
	if m.Progress.AlertSkipped > 0 {
		if s.ByPost, err = p.Messages.Total(r.Context(), m, messages.NoAddress, ""); err != nil {
			return err
		}
	}
	if m.Progress.AlertFailed+m.Progress.AlertUnknown > 0 {
		if s.Failures, err = p.failures(r, m); err != nil {
			return err
		}
		if policy.Allow(page.Subject(r), policy.Replay) == nil {
			if s.Replays, err = p.Replays.Of(r.Context(), m.ID, mostReplays); err != nil {
				return err
			}
		}
	}
	if s.Ended, err = p.noticeOf(r, m.ID); err != nil {
		return err
	}
	view.Template, view.Title, view.Section, view.Data = "message.html", "Message", section, s
	return p.Render(w, r, set, view)
}

// failure is a reason for which alerts failed.
type failure struct {
	messages.Failure
	Why  string // the reason, in the language of the reader
	Href string // address of the recipients
}

// Words returns the state of the alerts in words, in English.
func (f failure) Words() string { return called(alerts, string(f.State)) }

func (p *Pages) failures(r *http.Request, m messages.Message) ([]failure, error) {
	found, err := p.Messages.Failures(r.Context(), m.ID)
	return failuresOf(r, m, found), err
}

// failuresOf are the reasons for which alerts of a message failed, with the addresses of their
// recipients.
func failuresOf(r *http.Request, m messages.Message, found []messages.Failure) []failure {
	all := make([]failure, len(found))
	for i, f := range found {
		all[i] = failure{f, page.T(r, f.Reason), address(at(m)+"/recipients", map[string]string{"alert": string(f.State), "reason": f.Reason})}
	}
	return all
}

// gone is the erasure of a message's content.
type gone struct {
	AskedBy, By, Reason string
	At                  time.Time
}

// gone reads the erasure of a message's content, nil if there is none.
func (p *Pages) gone(ctx context.Context, id uuid.UUID) (*gone, error) {
	e, err := p.Retention.Of(ctx, id)
	if errors.Is(err, retention.ErrNotFound) || err == nil && e.Status != "erased" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g := &gone{AskedBy: e.RequestedBy, By: *e.SettledBy, Reason: e.Reason, At: *e.SettledAt}
	for _, actor := range []*string{&g.AskedBy, &g.By} {
		id := strings.TrimPrefix(*actor, "staff:")
		names, err := p.Messages.StaffNames(ctx, []string{id})
		if err != nil {
			return nil, err
		}
		if names[id] != "" {
			*actor = names[id]
		}
	}
	return g, nil
}

// open reads the content that the reader may see. A reader of the record sees only the
// subject, which identifies the message.
func (p *Pages) open(ctx context.Context, s *shown) error {
	if !s.Content {
		headers, err := p.Reader.Headers(ctx, []uuid.UUID{s.ID})
		s.Condition, s.Subject = headers[s.ID].Condition, headers[s.ID].Subject
		return err
	}
	h, body, err := p.Reader.Read(ctx, s.ID)
	if err != nil {
		return err
	}
	s.Heading, s.Body = h, body
	names, err := p.Messages.StaffNames(ctx, h.StaffBcc)
	for _, id := range h.StaffBcc {
		if names[id] != "" {
			s.Bcc = append(s.Bcc, names[id])
		}
	}
	return err
}

// snapshot is the state of a message at one moment.
type snapshot struct {
	messages.Message
	Times messages.Times
	Now   time.Time
	Own   bool         // the reader sent it, and may cancel or recall it
	Pause *pause.Pause // the pause that holds its alerts, nil for none
	// MayEdit reports whether the reader may edit the message and send it again. Again
	// is the message that they sent as its copy, nil for none.
	MayEdit bool
	Again   *uuid.UUID
}

func (p *Pages) snapshotOf(r *http.Request, m messages.Message) (snapshot, error) {
	times, err := p.Messages.Times(r.Context(), m.ID)
	if err != nil {
		return snapshot{}, err
	}
	pauses, err := p.Pauses.Pauses(r.Context())
	own := m.Role == messages.RoleSender && policy.Allow(page.Subject(r), policy.SendMessage) == nil
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{Message: m, Times: times, Now: p.Now(), Own: own, Pause: pause.Of(pauses, m.ID)}
	return s, p.again(r, &s)
}

// again fills in MayEdit and Again for a cancelled or recalled message of the reader.
func (p *Pages) again(r *http.Request, s *snapshot) error {
	if !s.Own || !s.Status.Withdrawn() {
		return nil
	}
	sent, err := p.Composer.Sent(r.Context(), page.Subject(r), draft.CopyKey(s.ID))
	if err == nil {
		s.Again = &sent
	}
	if !errors.Is(err, message.ErrNotFound) {
		return err
	}
	headers, err := p.Reader.Headers(r.Context(), []uuid.UUID{s.ID})
	s.MayEdit = headers[s.ID].Condition == message.Kept
	return err
}

// Words returns the status in words, in English.
func (s snapshot) Words() string { return statusOf(s.Message) }

// SecondsLeft returns the seconds until the message is released, rounded up.
func (s snapshot) SecondsLeft() int {
	return max(int(math.Ceil(s.ReleaseAt.Sub(s.Now).Seconds())), 0)
}

// Why returns the recorded reason of the recall, "" for none.
func (s snapshot) Why() string {
	if s.RecallReason == nil {
		return ""
	}
	return *s.RecallReason
}

// Timer stands around the seconds that are left. htmx replaces it.
func (s snapshot) Timer() language.Around {
	return language.Around{Before: `<span id="seconds" role="timer">`, After: "</span>"}
}

// Over reports whether the message was cancelled or recalled, so that nothing more will
// happen to it.
func (s snapshot) Over() bool { return s.Status.Withdrawn() }

// MayRecall reports whether the reader may recall the message.
func (s snapshot) MayRecall() bool { return s.Own && s.Status.Allows(events.TypeMessageRecalled) }

// Settled returns the number of alerts whose outcome is known.
func (s snapshot) Settled() int {
	return s.Progress.Alerted + s.Progress.AlertFailed + s.Progress.AlertSkipped + s.Progress.AlertUnknown
}
