package sendgridfake

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads a body as JSON and collects its faults. After invalid JSON it is broken:
// it gives no more values, so that every loop ends.
type reader struct {
	body   bytes.Buffer
	dec    *jsontext.Decoder
	broken bool
	faults []fault
}

// peek gives the kind of the next value, 0 at the end or in a broken body.
func (r *reader) peek() jsontext.Kind {
	if r.broken {
		return 0
	}
	return r.dec.PeekKind()
}

// token skips one bracket or brace.
func (r *reader) token() {
	if _, err := r.dec.ReadToken(); err != nil {
		r.broken = true
	}
}

// value gives the JSON text of the next value. It is valid until the next read.
func (r *reader) value() jsontext.Value {
	v, err := r.dec.ReadValue()
	if err != nil {
		r.broken = true
		return nil
	}
	return v
}

func (r *reader) skip() {
	if r.broken || r.dec.SkipValue() != nil {
		r.broken = true
	}
}

// more reports whether another element follows in the array.
func (r *reader) more() bool {
	k := r.peek()
	return k != ']' && k != 0
}

// object reads a JSON object and calls member at each value. It gives false if the next
// value is not an object.
func (r *reader) object(field string, member func(name string)) bool {
	if r.peek() != '{' {
		r.wrongType("object", field)
		return false
	}
	r.token()
	for r.peek() == '"' {
		name, _ := jsontext.AppendUnquote(nil, r.value())
		member(string(name))
	}
	r.token()
	return !r.broken
}

// array reads a JSON array and calls element at each element. It gives false if the next
// value is not an array.
func (r *reader) array(field string, element func(i int)) bool {
	if r.peek() != '[' {
		r.wrongType("array", field)
		return false
	}
	r.token()
	for i := 0; r.more(); i++ {
		element(i)
	}
	r.token()
	return !r.broken
}

// text reads a JSON string; another value is a fault.
func (r *reader) text(field string) string {
	if r.peek() != '"' {
		r.wrongType("string", field)
		return ""
	}
	s, _ := jsontext.AppendUnquote(nil, r.value())
	return string(s)
}

var typeNames = map[jsontext.Kind]string{
	'n': "null", 't': "boolean", 'f': "boolean", '"': "string", '0': "number", '{': "object", '[': "array",
}

// wrongType skips a value of the wrong type and adds a fault, with the text of SendGrid's
// schema validator.
func (r *reader) wrongType(expected, field string) {
	given := typeNames[r.peek()]
	r.skip()
	r.fault(fmt.Sprintf("Invalid type. Expected: %s, given: %s.", expected, given), field, "message."+indices.ReplaceAllString(field, ""))
}

// indices are the parts of a field's path that SendGrid leaves out in a link.
var indices = regexp.MustCompile(`\.\d+`)

// unknown skips a member that SendGrid does not know and adds a fault. name is JSON text.
func (r *reader) unknown(name jsontext.Value, field string) {
	plain, _ := jsontext.AppendUnquote(nil, name)
	r.fault("Additional property "+string(plain)+" is not allowed", field, "message."+indices.ReplaceAllString(field, ""))
	r.skip()
}

func (r *reader) fault(message, field, help string) {
	f := fault{Message: message, Field: &field}
	if help != "" {
		link := "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#" + help
		f.Help = &link
	}
	r.faults = append(r.faults, f)
}

// sender is a from object.
type sender struct{ Email, Name string }

// String gives the sender as a mail program displays it.
func (s sender) String() string {
	if s.Name == "" {
		return s.Email
	}
	return s.Name + " <" + s.Email + ">"
}
