package sendgrid

import (
	"bytes"
	"html/template"
	"net/mail"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"postern/internal/clinic"
	"postern/internal/text/language"
)

// The names of the custom_args with an attempt and a recipient's position, which SendGrid
// repeats in its reports. SendGrid keeps them permanently as "not PII", so they are a
// random id and a number. The name "attempt" can't be used: it is SendGrid's own field in
// a deferred event, which takes precedence.
const (
	ArgAttempt  = "attempt_id"
	ArgPosition = "n"
)

// alertText gives the whole text of an alert. It depends only on the portal's address, the language,
// and on what the clinic says of itself.
func alertText(publicURL string, l language.Language, f clinic.Face) (subject, plain, html string) {
	a := alert{
		Language: l, Subject: l.Text("You have a new secure message"), URL: publicURL, Contact: contact(l, f),
		Waiting: l.Text("A new secure message is waiting for you in the portal."),
		SignIn:  l.Text("Sign in to read it"),
		Else:    l.Text("If the link does not open, go to {address}", "address", publicURL),
		Private: l.Text("To keep it private, nothing of the message is in this e-mail."),
		Off:     l.Text("You can turn these e-mails off in the portal, at Your account."),
		Silent:  l.Text(silent),
	}
	plain = a.Waiting + "\n\n" + l.Text("To read it, sign in:") + "\n" + publicURL + "\n\n" +
		a.Private + "\n" + a.Off + "\n" + a.Silent + "\n" + plainContact(l, f)
	var b bytes.Buffer
	// Execute can't fail: the template is parsed and the writer is a buffer.
	_ = alertHTML.Execute(&b, a)
	return a.Subject, plain, b.String()
}

// alert is the dot of alertHTML: its sentences in one language.
type alert struct {
	language.Language
	Subject, Waiting, SignIn, Else, Private, Off, Silent string
	URL                                                  string
	Contact                                              []string
}

// contact returns the lines by which a reader reaches the clinic, in a language.
func contact(l language.Language, f clinic.Face) []string { return f.Contact(l.Text("Telephone")) }

// plainContact ends an e-mail with the clinic's name and how to reach it.
func plainContact(l language.Language, f clinic.Face) string {
	lines := contact(l, f)
	if len(lines) == 0 {
		return ""
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

// contactHTML is [plainContact] as HTML. Its dot is the lines.
var contactHTML = template.Must(template.New("contact").Parse(`{{with .}}<p dir="auto">{{range $i, $line := .}}{{if $i}}<br>{{end}}{{$line}}{{end}}</p>
{{end}}`))

var alertHTML = template.Must(template.Must(contactHTML.Clone()).New("alert").Parse(`<!DOCTYPE html>
<html lang="{{.Tag}}"{{if .RightToLeft}} dir="rtl"{{end}}>
<head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body>
<p>{{.Waiting}}</p>
<p><a href="{{.URL}}">{{.SignIn}}</a></p>
<p>{{.Else}}</p>
<p>{{.Private}} {{.Off}} {{.Silent}}</p>
{{template "contact" .Contact}}</body>
</html>
`))

// envelope is the part of a request's JSON before the attempt's id. It is the same in
// every request in a language.
type envelope struct {
	begin []byte
	// unsubscribe begins the header of a recipient, as JSON: SendGrid adds the headers of a
	// recipient to those of the request, which say that one POST is enough.
	unsubscribe string
}

func newEnvelope(from *mail.Address, publicURL, unsubscribeURL string, l language.Language, f clinic.Face) envelope {
	subject, plain, html := alertText(publicURL, l, f)
	e := beginBody(from, subject, plain, html)
	if unsubscribeURL != "" {
		e = append(e, `,"headers":{"List-Unsubscribe-Post":"List-Unsubscribe=One-Click"}`...)
	}
	quoted := appendString(nil, "<"+unsubscribeURL)
	return envelope{append(e, `,"custom_args":{"`+ArgAttempt+`":"`...), `"},"headers":{"List-Unsubscribe":` + string(quoted[:len(quoted)-1])}
}

// beginBody begins the JSON of a request, with everything except its recipients. It turns
// tracking off: with a pixel or a rewritten link, a third party would learn which
// recipients read a clinic's e-mails, and SendGrid's own unsubscribe link would end all mail
// permanently, without our knowing. Alerts have a link of ours, see package unsubscribe.
func beginBody(from *mail.Address, subject, plain, html string) []byte {
	e := append([]byte(nil), `{"from":{"email":`...)
	e = appendString(e, from.Address)
	if from.Name != "" {
		e = append(e, `,"name":`...)
		e = appendString(e, from.Name)
	}
	e = append(e, `},"subject":`...)
	e = appendString(e, subject)
	e = append(e, `,"content":[{"type":"text/plain","value":`...)
	e = appendString(e, plain)
	e = append(e, `},{"type":"text/html","value":`...)
	e = appendString(e, html)
	return append(e, `}],"tracking_settings":{`+
		`"click_tracking":{"enable":false,"enable_text":false},`+
		`"open_tracking":{"enable":false},`+
		`"subscription_tracking":{"enable":false}}`...)
}

// encode writes the body without reflection, which is several times faster: this is most
// of the work of a large message, a thousand recipients at a time. A test compares it
// with the encoding of sendgrid-go.
func (e envelope) encode(attempt uuid.UUID, to []Address) []byte {
	const opening, middle, closing = `{"to":[{"email":`, `}],"custom_args":{"` + ArgPosition + `":"`, `"}}`
	size := len(e.begin) + 64
	for i := range to {
		size += len(opening) + len(to[i].Email) + 2 + len(middle) + 4 + len(closing) + 2 + len(e.unsubscribe) + len(to[i].Unsubscribe)
	}
	b := append(make([]byte, 0, size), e.begin...)
	b = append(b, attempt.String()...)
	b = append(b, `"},"personalizations":[`...)
	for i := range to {
		a := &to[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, opening...)
		b = appendString(b, a.Email)
		b = append(b, middle...)
		b = strconv.AppendInt(b, int64(a.Position), 10)
		if a.Unsubscribe != "" {
			b = append(b, e.unsubscribe...)
			b = append(b, a.Unsubscribe...)
			b = append(b, '>')
		}
		b = append(b, closing...)
	}
	return append(b, `]}`...)
}

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, as is usual in
// JSON; SendGrid then refuses that address.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
