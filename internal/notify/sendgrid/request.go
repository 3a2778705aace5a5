package sendgrid

import (
	"bytes"
	"html/template"
	"net/mail"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// The names under which an attempt and a recipient's position go to SendGrid as
// custom_args and come back in its reports. SendGrid keeps them for ever as
// "not PII", so they are a random id and a number. "attempt" would not do: it is
// a field of SendGrid's own in a deferred event, and its own fields win.
const (
	ArgAttempt  = "attempt_id"
	ArgPosition = "n"
)

// alertText is everything an alert says. It is given the portal's address and
// nothing else.
func alertText(publicURL string) (subject, plain, html string) {
	subject = "You have a new secure message"
	plain = "A new secure message is waiting for you in the portal.\n\n" +
		"To read it, sign in:\n" + publicURL + "\n\n" +
		"To keep it private, nothing of the message is in this e-mail.\n" +
		"Please do not reply: answers to this address are not read.\n"
	var b bytes.Buffer
	// A template that parsed and a buffer leave Execute nothing to fail on.
	_ = alertHTML.Execute(&b, publicURL)
	return subject, plain, b.String()
}

var alertHTML = template.Must(template.New("alert").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>You have a new secure message</title></head>
<body>
<p>A new secure message is waiting for you in the portal.</p>
<p><a href="{{.}}">Sign in to read it</a></p>
<p>If the link does not open, go to {{.}}</p>
<p>To keep it private, nothing of the message is in this e-mail. Please do not reply: answers to this address are not read.</p>
</body>
</html>
`))

// envelope is the part of the request's JSON that is the same in every one:
// all that comes before the attempt's id.
type envelope []byte

func newEnvelope(from *mail.Address, publicURL string) envelope {
	subject, plain, html := alertText(publicURL)
	e := beginBody(from, subject, plain, html)
	return append(e, `,"custom_args":{"`+ArgAttempt+`":"`...)
}

// beginBody begins the JSON of a request with all but its recipients. It turns
// tracking off: a pixel or a rewritten link would tell a third party who reads
// what a clinic sends, and an unsubscribe link would let one tap end alerts for
// good.
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

// encode writes the body by hand: a blast is nothing but this, a thousand
// recipients at a time, and it is some times faster than reflection. A test
// holds it to what sendgrid-go would encode.
func (e envelope) encode(attempt uuid.UUID, to []Address) []byte {
	const opening, middle, closing = `{"to":[{"email":`, `}],"custom_args":{"` + ArgPosition + `":"`, `"}}`
	size := len(e) + 64
	for _, a := range to {
		size += len(opening) + len(a.Email) + 2 + len(middle) + 4 + len(closing) + 1
	}
	b := append(make([]byte, 0, size), e...)
	b = append(b, attempt.String()...)
	b = append(b, `"},"personalizations":[`...)
	for i, a := range to {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, opening...)
		b = appendString(b, a.Email)
		b = append(b, middle...)
		b = strconv.AppendInt(b, int64(a.Position), 10)
		b = append(b, closing...)
	}
	return append(b, `]}`...)
}

// appendString appends s as a JSON string. Bytes that are no UTF-8 become
// U+FFFD, as everywhere in JSON; SendGrid then refuses the address by name.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
