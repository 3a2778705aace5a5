package compose

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"postern/internal/compose"
	"postern/internal/compose/draft"
	audiences "postern/internal/directory/audience"
	"postern/internal/eventlog/facts"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// send sends a checked draft, and deletes it.
func (p *Pages) send(w http.ResponseWriter, r *http.Request) error {
	ctx, me := r.Context(), page.Subject(r)
	d, err := p.open(r)
	if errors.Is(err, draft.ErrNotFound) { // Send was pressed twice, and the first request has sent it
		if sent, err := p.Composer.Sent(ctx, me, r.PostFormValue("key")); err == nil {
			return p.Redirect(w, r, "/messages/"+sent.String(), "")
		}
	}
	if err != nil {
		return err
	}
	c := &checking{Draft: d, Confirm: r.PostFormValue("confirm")}
	if r.PostFormValue("version") != strconv.Itoa(d.Version) {
		return p.showCheck(w, r, c, page.View{Status: http.StatusConflict, Errors: page.Errors{{Field: "send",
			Message: "The draft has changed since you checked it. Check the new version, then press Send again."}}})
	}
	var was audiences.Counts
	_ = json.Unmarshal([]byte(r.PostFormValue("was")), &was) // invalid counts match no audience
	if typed := strings.NewReplacer(",", "", ".", "", " ", "", "\u00a0", "").Replace(c.Confirm); len(d.Recipients.Groups) > 0 && typed != strconv.Itoa(was.Count) {
		return p.showCheck(w, r, c, page.View{Errors: page.Errors{{Field: "confirm", Message: "Type the number of recipients that is shown above."}}})
	}
	l, err := p.words(r)
	if err != nil {
		return err
	}
	request, wrong := requestOf(l, d)
	if len(wrong) > 0 {
		return p.show(w, r, &editing{Draft: d}, wrong)
	}
	request.AudienceDigest = cmp.Or(was.Digest, "none") // without a digest, the sender has not checked the recipients
	sent, err := p.Composer.Send(ctx, me, d.Key, request)
	if err != nil {
		return p.notSent(w, r, c, &was, err)
	}
	// From here on the message is sent. A crash before the draft is deleted leaves the
	// draft; sending it again gives this same message.
	if err := p.Drafts.Delete(ctx, me, d.ID); err != nil && !errors.Is(err, draft.ErrNotFound) {
		return fmt.Errorf("message %s was sent: %w", sent.ID, err)
	}
	p.Await(ctx, sent.Seq)
	// No notice: the message's page shows its status.
	return p.Redirect(w, r, "/messages/"+sent.ID.String(), "")
}

// notSent shows why a message was not sent, if its sender can correct it, on the page
// of the check or of the draft. It returns other errors.
func (p *Pages) notSent(w http.ResponseWriter, r *http.Request, c *checking, was *audiences.Counts, err error) error {
	again := func(status int, message string) error {
		return p.showCheck(w, r, c, page.View{Status: status, Errors: page.Errors{{Field: "send", Message: message}}})
	}
	changed := new(compose.AudienceChanged)
	switch {
	case errors.As(err, &changed):
		c.Was, c.Confirm = was, ""
		return again(http.StatusConflict, language.Mark("The recipients have changed since you checked them. Check them again, then press Send again."))
	case errors.Is(err, facts.ErrUnavailable):
		return again(http.StatusServiceUnavailable, language.Mark("The message can’t be recorded right now. Press Send again in a moment: it will not be sent twice."))
	case errors.Is(err, compose.ErrKeyReused):
		seen := draft.Seen{Version: c.Version, Page: r.PostFormValue("key")}
		c.Draft, err = p.Drafts.Save(r.Context(), page.Subject(r), c.ID, seen, (*draft.Content).RenewKey)
		if err != nil {
			return err
		}
		return again(http.StatusConflict, language.Mark("An earlier version of this draft was sent, or may have been sent. Look under Messages first. To send the present version as another message, press Send again."))
	}
	l, failed := p.words(r)
	if failed != nil {
		return failed
	}
	wrong, err := wrongBecause(l, c.Draft, nil, err)
	if err != nil {
		return err
	}
	return p.show(w, r, &editing{Draft: c.Draft}, wrong)
}
