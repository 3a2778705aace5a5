package messages

import (
	"errors"
	"net/http"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// own returns the message in the address if the reader is its sender and may send messages.
func (p *Pages) own(r *http.Request) (messages.Message, error) {
	m, err := p.visible(r)
	if err == nil && (m.Role != messages.RoleSender || policy.Allow(page.Subject(r), policy.SendMessage) != nil) {
		err = messages.ErrNotFound
	}
	return m, err
}

// cancel cancels a message before its release: by Undo, or before its scheduled time.
func (p *Pages) cancel(w http.ResponseWriter, r *http.Request) error {
	m, err := p.own(r)
	if err != nil {
		return err
	}
	err = p.Composer.Cancel(r.Context(), page.Subject(r), m.ID)
	if errors.Is(err, compose.ErrTooLate) {
		return p.tooLate(w, r, language.Mark("It is too late to cancel this message: it is going out already. You can recall it instead."))
	}
	if err != nil {
		return err
	}
	notice := language.Mark("The message was cancelled. No one will receive it.")
	if m.Hold == events.HoldUndo {
		notice = language.Mark("Undone. No one will receive the message.")
	}
	return p.Redirect(w, r, at(m), notice)
}

func at(m messages.Message) string { return "/messages/" + m.ID.String() }

// tooLate shows the message as it is now, with the reason why nothing was done, in English.
func (p *Pages) tooLate(w http.ResponseWriter, r *http.Request, why string) error {
	m, err := p.visible(r)
	if err != nil {
		return err
	}
	return p.showMessage(w, r, m, page.View{Status: http.StatusConflict, Errors: page.Errors{{Field: "state", Message: why}}})
}

// recalling is the data of the page to recall a message.
type recalling struct {
	messages.Message
	Reason string
}

// askRecall shows how many recipients have opened the message, and asks for the reason.
func (p *Pages) askRecall(w http.ResponseWriter, r *http.Request) error {
	m, err := p.own(r)
	if err != nil {
		return err
	}
	if !m.Status.Allows(events.TypeMessageRecalled) {
		return p.Redirect(w, r, at(m), "This message can't be recalled: it was not sent, or it was already recalled.")
	}
	return p.showRecall(w, r, m, "", nil)
}

func (p *Pages) showRecall(w http.ResponseWriter, r *http.Request, m messages.Message, reason string, errs page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "recall.html", Title: "Recall a message", Section: section,
		Data: recalling{m, reason}, Errors: errs})
}

// recall recalls the message.
func (p *Pages) recall(w http.ResponseWriter, r *http.Request) error {
	m, err := p.own(r)
	if err != nil {
		return err
	}
	reason := r.PostFormValue("reason")
	err = p.Composer.Recall(r.Context(), page.Subject(r), m.ID, reason)
	invalid := new(compose.Invalid)
	switch {
	case errors.As(err, &invalid):
		message := page.T(r, "The reason {fault}", "fault", page.T(r, invalid.Faults[0].Message))
		if strings.TrimSpace(reason) == "" {
			message = language.Mark("Enter why you are recalling the message")
		}
		return p.showRecall(w, r, m, reason, page.Errors{{Field: "reason", Message: message}})
	case errors.Is(err, compose.ErrTooLate):
		return p.tooLate(w, r, language.Mark("There is nothing to recall: the message has not been sent."))
	case err != nil:
		return err
	}
	return p.Redirect(w, r, at(m), "The message was recalled. No one can read it any more.")
}
