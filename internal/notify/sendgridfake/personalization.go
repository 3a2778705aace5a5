package sendgridfake

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"postern/internal/notify/sendgrid"
)

func (r *request) personalizations() {
	count := 0
	ok := r.array("personalizations", func(i int) {
		count++
		if i < maxPersonalizations {
			r.personalization(i)
		} else {
			r.skip()
		}
	})
	switch {
	case ok && count == 0:
		r.fault(textPersonalizations, "personalizations", "-Personalizations-Errors")
	case count > maxPersonalizations:
		r.fault(fmt.Sprintf("The personalization block is limited to 1000 personalizations per API request. You have provided %d personalizations. Please consider splitting this into multiple requests and resending your request.", count), "personalizations", "-Personalizations-Errors")
	}
}

// personalization reads one personalization.
func (r *request) personalization(i int) {
	whole := r.value() // checks that it is JSON
	if r.broken || r.plainPersonalization(whole, i) {
		return
	}
	rest := r.dec
	r.dec = jsontext.NewDecoder(bytes.NewReader(whole), jsontext.AllowDuplicateNames(true))
	r.anyPersonalization(i)
	r.dec = rest
}

// plainPersonalization reads a personalization of the form in which package sendgrid writes it,
// several times faster than any other. It returns false for another form.
func (r *request) plainPersonalization(whole []byte, i int) bool {
	const toArgs, args, end = `"}],"custom_args"`, `:{"` + sendgrid.ArgPosition + `":"`, `"}}`
	const header, headerEnd = `"},"headers":{"List-Unsubscribe":"<`, `>"}}`
	text, ok := bytes.CutPrefix(whole, []byte(`{"to":[{"email":"`))
	address, text, found := bytes.Cut(text, []byte(toArgs+args))
	number, link, hasLink := bytes.Cut(text, []byte(header))
	link, ended := bytes.CutSuffix(link, []byte(headerEnd))
	if !hasLink {
		number, ended = bytes.CutSuffix(text, []byte(end))
	}
	if bytes.ContainsAny(link, `"\\`) {
		return false
	}
	if !ok || !found || !ended || len(number) == 0 || len(number) > 9 || bytes.ContainsAny(address, `"\`) {
		return false
	}
	position := 0
	for _, digit := range number {
		if digit < '0' || digit > '9' {
			return false
		}
		position = 10*position + int(digit-'0')
	}
	begin := len(r.addresses)
	r.addresses = append(r.addresses, address...)
	r.checkAddress(r.addresses[begin:], addressPath{i, "to", 0})
	r.withoutSubject++
	r.recipients = append(r.recipients, recipient{end: len(r.addresses),
		args: customArgs{position: position, hasNumber: true, size: len(args) + len(number) + len(end) - 1}})
	return true
}

// anyPersonalization reads a personalization of any form. For speed, as all functions that run
// for every recipient, it compares the raw JSON of names and builds a field's path only for a
// fault.
func (r *request) anyPersonalization(i int) {
	if r.peek() != '{' {
		r.wrongType("object", fmt.Sprintf("personalizations.%d", i))
		return
	}
	first, to, subject := len(r.recipients), 0, ""
	var args customArgs
	r.token()
	for r.peek() == '"' {
		name := r.value()
		switch string(name) {
		case `"to"`:
			to = r.list(i, "to")
		case `"cc"`:
			r.list(i, "cc")
		case `"bcc"`:
			r.list(i, "bcc")
		case `"custom_args"`:
			args = r.customArgs(i)
		case `"subject"`:
			subject = r.text(fmt.Sprintf("personalizations.%d.subject", i))
		case `"from"`, `"headers"`, `"substitutions"`, `"dynamic_template_data"`, `"send_at"`:
			r.skip()
		default:
			r.unknown(name, fmt.Sprintf("personalizations.%d", i))
		}
	}
	r.token()
	if to == 0 {
		r.fault(textTo, fmt.Sprintf("personalizations.%d.to", i), "message.personalizations.to")
	}
	if subject == "" {
		r.withoutSubject++
	}
	for p := first; p < len(r.recipients); p++ {
		r.recipients[p].args, r.recipients[p].subject = args, subject
	}
}

// list reads one personalization's to, cc or bcc and gives its length.
func (r *request) list(i int, kind string) int {
	if r.peek() != '[' {
		r.wrongType("array", fmt.Sprintf("personalizations.%d.%s", i, kind))
		return 1
	}
	r.token()
	count := 0
	for ; r.more(); count++ {
		r.parseRecipient(addressPath{i, kind, count})
	}
	r.token()
	return count
}

// addressPath is the position of an address in the request.
type addressPath struct {
	i    int
	kind string
	j    int
}

func (p addressPath) field(of string) string {
	return fmt.Sprintf("personalizations.%d.%s.%d%s", p.i, p.kind, p.j, of)
}

func (p addressPath) help() string { return "message.personalizations." + p.kind }

func (r *request) parseRecipient(at addressPath) {
	if r.peek() != '{' {
		r.wrongType("object", at.field(""))
		return
	}
	start, given, text := len(r.addresses), false, true
	r.token()
	for r.peek() == '"' {
		name := r.value()
		switch string(name) {
		case `"email"`:
			given = true
			if text = r.peek() == '"'; !text {
				r.wrongType("string", at.field(".email"))
				continue
			}
			r.addresses, _ = jsontext.AppendUnquote(r.addresses[:start], r.value())
		case `"name"`:
			if strings.ContainsAny(r.text(at.field(".name")), ";,") {
				r.fault("The name parameter cannot contain ; or ,", at.field(".name"), at.help())
			}
		default:
			r.unknown(name, at.field(""))
		}
	}
	r.token()
	if !given {
		r.fault("The "+at.kind+" email parameter is required.", at.field(".email"), at.help())
		return
	}
	if !text {
		return
	}
	r.checkAddress(r.addresses[start:], at)
	r.recipients = append(r.recipients, recipient{end: len(r.addresses)})
}

var seed = maphash.MakeSeed()

// checkAddress adds a fault for an address that is invalid, that Config.Refuse refuses, or
// that is in the request already.
func (r *request) checkAddress(address []byte, at addressPath) {
	if !isAddress(address) {
		r.fault("Does not contain a valid address.", at.field(".email"), at.help())
		return
	}
	if r.refuse != nil {
		if reason := r.refuse(string(address)); reason != "" {
			r.fault(reason, at.field(".email"), at.help())
			return
		}
	}
	var lower [320]byte
	sum := maphash.Bytes(seed, appendLower(lower[:0], address))
	first, repeated := r.seen[sum]
	r.seen[sum] = at.i
	switch {
	case !repeated:
	case first == at.i:
		r.fault(fmt.Sprintf("Each email address in the personalization block should be unique between to, cc, and bcc. We found the first duplicate instance of [%s] in the personalizations.%d.%s field.", address, at.i, at.kind), fmt.Sprintf("personalizations.%d", at.i), "message.recipient-errors")
	default:
		r.fault(fmt.Sprintf("Each unique email address in the personalizations array should only be included once. You have included [%s] more than once.", address), "personalizations", "-Personalizations-Errors")
	}
}

// customArgs are the stored values of custom_args, and the size of all custom_args.
type customArgs struct {
	attempt               uuid.UUID
	position              int
	hasAttempt, hasNumber bool
	size                  int
}

// mergedInto merges a personalization's custom_args into the message's, key by key, as
// SendGrid does.
func (a customArgs) mergedInto(message customArgs) customArgs {
	if !a.hasAttempt {
		a.attempt = message.attempt
	}
	if !a.hasNumber {
		a.position = -1
		if message.hasNumber {
			a.position = message.position
		}
	}
	a.size += message.size
	return a
}

// customArgs reads the custom_args of personalization i, or of the message for -1.
func (r *request) customArgs(i int) customArgs {
	var args customArgs
	if r.peek() != '{' {
		field := "custom_args"
		if i >= 0 {
			field = fmt.Sprintf("personalizations.%d.custom_args", i)
		}
		r.wrongType("object", field)
		return args
	}
	start := r.dec.InputOffset()
	r.token()
	for r.peek() == '"' {
		name := r.value()
		isAttempt := string(name) == `"`+sendgrid.ArgAttempt+`"`
		isNumber := string(name) == `"`+sendgrid.ArgPosition+`"`
		if r.peek() != '"' {
			// SendGrid's answer to a number, too, is only this.
			r.faults = append(r.faults, badRequest)
			r.skip()
			continue
		}
		value := r.value()
		if len(value) < 2 {
			break
		}
		value = value[1 : len(value)-1]
		switch {
		case isAttempt:
			id, err := uuid.ParseBytes(value)
			args.attempt, args.hasAttempt = id, err == nil
		case isNumber:
			n, err := strconv.ParseInt(string(value), 10, 32)
			args.position, args.hasNumber = int(n), err == nil
		}
	}
	r.token()
	args.size = int(r.dec.InputOffset() - start)
	return args
}
