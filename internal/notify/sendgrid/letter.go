package sendgrid

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"time"

	"postern/internal/clinic"
	"postern/internal/text/language"
)

// A letter is an e-mail with the single-use link with which a portal user or a staff
// member sets a password, or one about their account without a link. Its text is fixed and
// contains only the link, so it never has a name, not even of other people with the same
// address.

// SendInvitation sends the letter with the link that sets a first password. Its error is
// a [NotSent].
func (c *Client) SendInvitation(ctx context.Context, to, link string) error {
	return c.sendLetter(ctx, to, invitation, link)
}

// SendReset sends the letter with the link that sets a new password. Its error is a
// [NotSent].
func (c *Client) SendReset(ctx context.Context, to, link string) error {
	return c.sendLetter(ctx, to, reset, link)
}

// SendStaffInvitation sends the letter with the link with which a staff member sets a
// first password. Its error is a [NotSent].
func (c *Client) SendStaffInvitation(ctx context.Context, to, link string) error {
	return c.sendLetter(ctx, to, staffInvitation, link)
}

// SendStaffReset sends the letter with the link with which a staff member sets a new
// password. Its error is a [NotSent].
func (c *Client) SendStaffReset(ctx context.Context, to, link string) error {
	return c.sendLetter(ctx, to, staffReset, link)
}

// SendAddressChanged sends the letter that tells an address that it is no longer that of a
// staff account. Its error is a [NotSent].
func (c *Client) SendAddressChanged(ctx context.Context, to string) error {
	return c.sendLetter(ctx, to, addressChanged, "")
}

// SendPortalAddressChanged sends the letter that tells an address that it is no longer that of
// a portal user's account. Its error is a [NotSent].
func (c *Client) SendPortalAddressChanged(ctx context.Context, to string) error {
	return c.sendLetter(ctx, to, portalAddressChanged, "")
}

// SendMessageEnded sends the letter that tells a staff member that a message that they sent has
// ended. It names neither the message nor a recipient, and has no figures. Its error is a
// [NotSent].
func (c *Client) SendMessageEnded(ctx context.Context, to string) error {
	return c.sendLetter(ctx, to, messageEnded, "")
}

// NotSent says why SendGrid did not accept a letter. It contains no address.
type NotSent struct {
	Reason string
	// After is the shortest time before a retry; 0 if a retry can't help. A letter
	// without an answer may have been sent: a retry then sends the same link twice,
	// which is harmless.
	After time.Duration
	// Maybe says that SendGrid's answer was lost: it may have sent the letter.
	Maybe bool
}

func (e *NotSent) Error() string { return e.Reason }

// RetryAfter gives e.After.
func (e *NotSent) RetryAfter() time.Duration { return e.After }

// MaybeSent gives e.Maybe.
func (e *NotSent) MaybeSent() bool { return e.Maybe }

func (c *Client) sendLetter(ctx context.Context, to string, l letter, link string) error {
	head := c.head(ctx)
	l = l.in(language.From(ctx))
	body := beginBody(head.from, l.Subject, l.plain(link, head.clinic), l.html(link, head.clinic))
	body = append(body, `,"personalizations":[{"to":[{"email":`...)
	body = appendString(body, to)
	body = append(body, `}]}]}`...)
	r := c.post(ctx, body, []Address{{Email: to}})
	if r.Kind == Refused && len(r.Refusals) > 0 {
		r.Reason = r.Refusals[0].Reason
	}
	switch r.Kind {
	case Accepted:
		return nil
	case RateLimited:
		return &NotSent{Reason: r.Reason, After: r.Until.Sub(c.now())}
	case Unavailable, Unknown:
		return &NotSent{Reason: r.Reason, After: time.Millisecond, Maybe: r.Kind == Unknown}
	default:
		return &NotSent{Reason: r.Reason}
	}
}

// letter is the text around a link. Its sentences are ids of texts until [letter.in]. Do, Once and Others are "" without a link.
type letter struct {
	Subject string
	Why     string // the reason for the letter
	Do      string // the action of the link
	Once    string // how long the link works
	Others  string // about other people with the same address; "" if they can't share it
	If      string // for a reader who did not expect the letter

	language language.Language
}

// in returns the letter in a language.
func (l letter) in(to language.Language) letter {
	l.language = to
	for _, text := range []*string{&l.Subject, &l.Why, &l.Do, &l.Once, &l.Others, &l.If} {
		if *text != "" {
			*text = to.Text(*text)
		}
	}
	return l
}

var (
	invitation = letter{
		Subject: language.Mark("Set up your account for secure messages"),
		Why:     language.Mark("The clinic has an account for you. With it you can read the secure messages that the clinic sends you."),
		Do:      language.Mark("Choose your password"),
		Once:    language.Mark("The link works one time, for 7 days."),
		Others:  others,
		If:      language.Mark("If you did not expect this e-mail, you can delete it."),
	}
	reset = letter{
		Subject: language.Mark("Choose a new password for secure messages"),
		Why:     language.Mark("Someone, most likely you, asked for a new password for your secure messages."),
		Do:      language.Mark("Choose a new password"),
		Once:    language.Mark("The link works one time, for 24 hours."),
		Others:  others,
		If:      language.Mark("If it was not you, delete this e-mail. Your password stays as it is."),
	}
	staffInvitation = letter{
		Subject: language.Mark("Set up your staff account for secure messages"),
		Why:     language.Mark("The clinic has added you to the staff who send secure messages to the users of its patient portal."),
		Do:      language.Mark("Choose your password"),
		Once:    language.Mark("The link works one time, for 72 hours."),
		If:      language.Mark("If you don't work at the clinic, you can delete this e-mail."),
	}
	staffReset = letter{
		Subject: language.Mark("Choose a new password for your staff account"),
		Why:     language.Mark("You or an administrator of the clinic asked for a new password for your staff account for secure messages."),
		Do:      language.Mark("Choose a new password"),
		Once:    language.Mark("The link works one time, for 72 hours."),
		If:      language.Mark("If you don't know about this, don't use the link, and tell an administrator of the clinic. Your password stays as it is."),
	}
	addressChanged = letter{
		Subject: language.Mark("The e-mail address of your staff account has changed"),
		Why:     language.Mark("An administrator of the clinic has changed the e-mail address of your staff account for secure messages. You now sign in with the new address. This one no longer works, and earlier links to set a password stop working too."),
		If:      language.Mark("If you don't know about this, tell an administrator of the clinic at once."),
	}
	messageEnded = letter{
		Subject: language.Mark("A secure message that you sent has ended"),
		Why:     language.Mark("A message that you sent to a group has ended: it is delivered, and all e-mails about it were tried. Sign in as you always do, and open Notices, to see the result."),
		If:      language.Mark("You get this e-mail because you asked for it. You can switch it off on the page of your account."),
	}
	portalAddressChanged = letter{
		Subject: language.Mark("The e-mail address of an account for secure messages has changed"),
		Why:     language.Mark("The clinic has changed the e-mail address of an account for secure messages. The account used this address until now. It was signed out on all devices, and earlier links to set a password no longer work."),
		If:      language.Mark("If you asked for this, you have nothing to do. If you did not, call the clinic today, at a phone number that you know. For a day, no link to set a new password is sent to the new address unless the clinic checks with the owner of the account."),
	}
)

// Texts of several letters. Families share an address: every letter to portal users says
// that each person gets their own letter, so the text reveals nothing about the people.
var (
	keep   = language.Mark("Keep this e-mail to yourself: anyone with the link can use it.")
	others = language.Mark("If more people use this e-mail address, each gets an e-mail of their own. The page that opens says whose account it is.")
	silent = language.Mark("Please do not reply: answers to this address are not read.")
)

func (l letter) plain(link string, f clinic.Face) string {
	silent := l.language.Text(silent)
	if l.Do == "" {
		return fmt.Sprintf("%s\n\n%s\n%s\n%s", l.Why, l.If, silent, plainContact(l.language, f))
	}
	once := l.Once + "\n" + l.language.Text(keep)
	if l.Others != "" {
		once += "\n" + l.Others
	}
	return fmt.Sprintf("%s\n\n%s:\n%s\n\n%s\n\n%s\n%s\n%s", l.Why, l.Do, link, once, l.If, silent, plainContact(l.language, f))
}

func (l letter) html(link string, f clinic.Face) string {
	var b bytes.Buffer
	// Execute can't fail: the template is parsed and the writer is a buffer.
	_ = letterHTML.Execute(&b, struct {
		letter
		language.Language
		Link, Copy, Keep, Silent string
		Contact                  []string
	}{l, l.language, link, l.language.Text("If the link does not open, copy this into your browser: {link}", "link", link),
		l.language.Text(keep), l.language.Text(silent), contact(l.language, f)})
	return b.String()
}

var letterHTML = template.Must(template.Must(contactHTML.Clone()).New("letter").Parse(`<!DOCTYPE html>
<html lang="{{.Tag}}"{{if .RightToLeft}} dir="rtl"{{end}}>
<head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body>
<p>{{.Why}}</p>
{{- if .Do}}
<p><a href="{{.Link}}">{{.Do}}</a></p>
<p>{{.Copy}}</p>
<p>{{.Once}} {{.Keep}}</p>
{{- with .Others}}
<p>{{.}}</p>
{{- end}}
{{- end}}
<p>{{.If}} {{.Silent}}</p>
{{template "contact" .Contact}}</body>
</html>
`))
