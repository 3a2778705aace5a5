package sendgridfake

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// SendGrid's limits on one request.
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/limitations
const (
	maxBody             = 30 << 20
	maxPersonalizations = 1000
	maxRecipients       = 1000
	maxCustomArgs       = 10_000
)

// request is one parsed request body. Requests are pooled: stored data is copied out of
// them.
type request struct {
	reader
	letter     Letter
	args       customArgs
	recipients []recipient
	// addresses has the bytes of all addresses, one after the other.
	addresses []byte
	// seen maps the hash of an address to the index of its personalization.
	seen map[uint64]int
	// hasSubject says whether the message has a subject; withoutSubject counts the
	// personalizations without one.
	hasSubject     bool
	withoutSubject int
	refuse         func(string) string
}

// recipient is one address, which ends at end in request.addresses.
type recipient struct {
	end     int
	args    customArgs
	subject string
}

var requests = sync.Pool{New: func() any {
	return &request{
		reader: reader{dec: jsontext.NewDecoder(new(bytes.Buffer))},
		seen:   make(map[uint64]int),
	}
}}

func newRequest() *request { return requests.Get().(*request) }

func (r *request) release() {
	if r.body.Cap() > 1<<20 {
		return // rare large buffers are not pooled, to save memory
	}
	r.body.Reset()
	clear(r.seen)
	*r = request{
		reader: reader{body: r.body, dec: r.dec},
		seen:   r.seen, recipients: r.recipients[:0], addresses: r.addresses[:0],
	}
	requests.Put(r)
}

func (r *request) readBody(body io.Reader) error {
	_, err := r.body.ReadFrom(body)
	return err
}

// refusedWhole gives the reason for which the whole request is refused, or "".
func (r *request) refusedWhole(refuse func(string) string) string {
	if refuse == nil {
		return ""
	}
	begin := 0
	for _, one := range r.recipients {
		if reason := refuse(string(r.addresses[begin:one.end])); reason != "" {
			return reason
		}
		begin = one.end
	}
	return ""
}

func (r *request) attempt() uuid.UUID {
	if len(r.recipients) == 0 {
		return r.args.attempt
	}
	return r.recipients[0].args.mergedInto(r.args).attempt
}

// parse reads the body and collects its faults. refuse may be nil.
func (r *request) parse(refuse func(string) string) {
	r.refuse = refuse
	r.dec.Reset(&r.body, jsontext.AllowDuplicateNames(true))
	present := make(map[string]bool, 8)
	ok := r.object("", func(name string) {
		present[name] = true
		r.member(name)
	})
	if ok {
		_, err := r.dec.ReadToken()
		r.broken = r.broken || err != io.EOF
	}
	switch {
	case r.broken:
		// For invalid JSON SendGrid gives no other error.
		r.faults = append(r.faults[:0], badRequest)
	case ok:
		r.complete(present)
	}
}

func (r *request) member(name string) {
	switch name {
	case "personalizations":
		r.personalizations()
	case "from":
		r.letter.From = r.from()
	case "subject":
		r.letter.Subject = r.text("subject")
		r.hasSubject = r.letter.Subject != ""
	case "content":
		r.content()
	case "custom_args":
		r.args = r.customArgs(-1)
	case "attachments", "template_id", "sections", "headers", "categories", "send_at", "batch_id", "asm",
		"ip_pool_name", "mail_settings", "tracking_settings", "reply_to", "reply_to_list":
		r.skip()
	default:
		r.fault("Additional property "+name+" is not allowed", name, "")
		r.skip()
	}
}

// complete adds faults for missing members, and faults that show only at the end.
func (r *request) complete(present map[string]bool) {
	template := present["template_id"]
	if !present["personalizations"] {
		r.fault(textPersonalizations, "personalizations", "-Personalizations-Errors")
	}
	if !present["from"] {
		r.fault(textFrom, "from.email", "message.from")
	}
	if !r.hasSubject && !template && (r.withoutSubject > 0 || len(r.recipients) == 0) {
		r.fault(textSubject, "subject", "message.subject")
	}
	if !present["content"] && !template {
		r.fault(textContent, "content", "message.content")
	}
	if len(r.recipients) > maxRecipients {
		r.fault("There is a limit of 1000 total recipients (to + cc + bcc) per request.", "personalizations", "-Personalizations-Errors")
	}
	for i := range r.recipients {
		if r.recipients[i].args.mergedInto(r.args).size > maxCustomArgs {
			r.fault("The combined size of both global and personalization custom arguments may not exceed 10,000 bytes per personalization.", "personalizations", "message.personalizations.custom_args")
			return
		}
	}
}

// SendGrid's own texts, copied from its answers.
const (
	textPersonalizations = "The personalizations field is required and must have at least one personalization."
	textTo               = "The to array is required for all personalization objects, and must have at least one email object with a valid email address."
	textFrom             = `The from object must be provided for every email send. It is an object that requires the email parameter, but may also contain a name parameter.  e.g. {"email" : "example@example.com"}  or {"email" : "example@example.com", "name" : "Example Recipient"}.`
	textSubject          = "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined."
	textContent          = "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block. We typically suggest both text/plain and text/html blocks are included, but only one block is required."
	textContentType      = "The content type must be a string at least one character in length and cannot contain ';', or CRLF characters."
	textContentValue     = "The content value must be a string at least one character in length."
	textContentOrder     = "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: text/plain needs to be first, followed by text/html, followed by any other content."
)

func (r *request) from() string {
	var s sender
	ok := r.object("from", func(name string) {
		switch name {
		case "email":
			s.Email = r.text("from.email")
		case "name":
			s.Name = r.text("from.name")
		default:
			r.skip()
		}
	})
	if ok && !isAddress([]byte(s.Email)) {
		r.fault("The from email does not contain a valid address.", "from.email", "message.from")
	}
	return s.String()
}

func (r *request) content() {
	var types []string
	ok := r.array("content", func(i int) {
		var kind, value string
		if !r.object(fmt.Sprintf("content.%d", i), func(name string) {
			switch name {
			case "type":
				kind = r.text(fmt.Sprintf("content.%d.type", i))
			case "value":
				value = r.text(fmt.Sprintf("content.%d.value", i))
			default:
				r.skip()
			}
		}) {
			return
		}
		types = append(types, kind)
		if kind == "" || strings.ContainsAny(kind, ";\r\n") {
			r.fault(textContentType, fmt.Sprintf("content.%d.type", i), "message.content.type")
		}
		if value == "" {
			r.fault(textContentValue, fmt.Sprintf("content.%d.value", i), "message.content.value")
		}
		switch kind {
		case "text/plain":
			r.letter.Text = value
		case "text/html":
			r.letter.HTML = value
		}
	})
	if ok && len(types) == 0 {
		r.fault(textContent, "content", "message.content")
	}
	if slices.Index(types, "text/plain") > 0 || slices.Index(types, "text/html") > 1 {
		r.fault(textContentOrder, "content", "message.content")
	}
}
