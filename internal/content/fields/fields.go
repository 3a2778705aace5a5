// Package fields fills in the few fields that the text of a message may have, such as
// {recipient's name}, while it is read. What is stored, recorded and proven is the text with its
// fields: it is one text for all recipients, with one digest.
//
// The package does no I/O.
package fields

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Values are the values of the fields for one reader.
type Values struct {
	Recipient string // the reader's name
	Clinic    string // the clinic's name, "" if it has none
	Telephone string // the clinic's telephone, "" if it has none
}

// A Field stands in a text as its name in braces.
type Field struct {
	Name  string
	Means string // for those who write
	value func(Values) string
	words string // that stand in its place without a value
}

// All are all fields.
var All = []Field{
	{"recipient's name", "the name of the person who reads the message", func(v Values) string { return v.Recipient }, ""},
	{"clinic's name", "the name of the clinic", func(v Values) string { return v.Clinic }, "the clinic"},
	{"clinic's telephone", "the telephone number of the clinic", func(v Values) string { return v.Telephone }, "the clinic’s telephone number"},
}

// Known reports whether there is a value for the field. Without one it reads as a few words.
func (f Field) Known(v Values) bool { return f.value(v) != "" }

// Token is the field in a text: {recipient's name}.
func (f Field) Token() string { return "{" + f.Name + "}" }

// token matches what may be meant as a field: a few words in braces.
var token = regexp.MustCompile(`\{[\pL '’]{1,40}\}`)

// named returns the field of a token, in any case and with either apostrophe.
func named(token string) (Field, bool) {
	name := strings.ToLower(strings.ReplaceAll(strings.Trim(token, "{}"), "’", "'"))
	i := slices.IndexFunc(All, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return All[i], true
}

// Fill puts values in the place of the fields of a text. The values are not looked at again: a name
// with braces stays as it is.
func Fill(text string, v Values) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return token.ReplaceAllStringFunc(text, func(t string) string {
		if f, known := named(t); known {
			return cmp.Or(f.value(v), f.words)
		}
		return t
	})
}

// In returns the fields that a text has, in the order of [All].
func In(text string) (found []Field) {
	tokens := token.FindAllString(text, -1)
	for _, f := range All {
		if slices.ContainsFunc(tokens, func(t string) bool { one, known := named(t); return known && one.Name == f.Name }) {
			found = append(found, f)
		}
	}
	return found
}

// Unknown returns the words in braces that are no fields, each once. Recipients read them as they are.
func Unknown(text string) (found []string) {
	for _, t := range token.FindAllString(text, -1) {
		if _, known := named(t); !known && !slices.Contains(found, t) {
			found = append(found, t)
		}
	}
	return found
}
