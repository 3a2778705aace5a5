package language

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
)

// Around is a value that stands around words of a text: {a}sign in{/a}.
type Around struct{ Before, After template.HTML }

// Message is a text with its values, in no language yet.
type Message struct {
	ID string // the English wording; of a text for a number, that for many
	// One is the English wording for one, of a text for the number N; "" for a text without a number.
	One  string
	N    int
	Args []any // names and values, by turns; a value can be a Message, or several: reasons
}

// Localized is an error whose text has values. Its Error is the text in English; a page shows
// its Message in the language of the reader.
type Localized interface {
	error
	Message() Message
}

// Say returns a message in the language.
func (l Language) Say(m Message) string {
	if m.One != "" {
		return l.Count(m.N, m.One, m.ID, m.Args...)
	}
	return l.Text(m.ID, m.Args...)
}

// NewError makes an error of a message, which is a sentence. Each call makes a different error. Its
// text is the sentence in English as errors are written: with a small letter, without the period.
func NewError(m Message) Localized { return &sentence{m} }

type sentence struct{ m Message }

func (e *sentence) Message() Message { return e.m }

func (e *sentence) Error() string {
	text := strings.TrimSuffix(English.Say(e.m), ".")
	return strings.ToLower(text[:1]) + text[1:]
}

// Text returns a text in the language, with values by name. For values of a kind that needs
// markup, use [Language.HTML].
func (l Language) Text(english string, args ...any) string {
	return fill(l.translated(english), values(args), func(v any) string { return l.plain(v) })
}

// Count returns a text for a number of things in the language. {n} is the number; there can be more
// values. The id in the catalogs is that of many.
func (l Language) Count(n int, one, many string, args ...any) string {
	return fill(l.plural(n, one, many), values(append(args, "n", n)), func(v any) string { return l.plain(v) })
}

// HTML is [Language.Text] as HTML: text and values are escaped, except for values that are HTML.
// Text of another direction is isolated.
func (l Language) HTML(english string, args ...any) template.HTML {
	return template.HTML(fill(escape(l.translated(english)), values(args), l.markup)) // #nosec G203 -- escaped piece by piece
}

// CountHTML is [Language.Count] as HTML.
func (l Language) CountHTML(n int, one, many string, args ...any) template.HTML {
	return template.HTML(fill(escape(l.plural(n, one, many)), values(append(args, "n", n)), l.markup)) // #nosec G203 -- escaped piece by piece
}

// escape escapes a text of a catalog. In an attribute html/template escapes quotes, too.
func escape(text string) string { return escaper.Replace(text) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func values(args []any) map[string]any {
	all := make(map[string]any, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		if name, ok := args[i].(string); ok {
			all[name] = args[i+1]
		}
	}
	return all
}

var placeholder = regexp.MustCompile(`\{/?[a-z]+\}`)

// fill replaces the placeholders of a text. One without a value stays.
func fill(text string, with map[string]any, print func(any) string) string {
	if len(with) == 0 || !strings.Contains(text, "{") {
		return text
	}
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		name, ends := strings.CutPrefix(found[1:len(found)-1], "/")
		v, known := with[name]
		if !known {
			return found
		}
		if a, ok := v.(Around); ok {
			if ends {
				return string(a.After)
			}
			return string(a.Before)
		}
		return print(v)
	})
}

// plain returns a value as text.
func (l Language) plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case *string:
		if v == nil {
			return ""
		}
		return *v
	case template.HTML:
		return string(v)
	case int:
		return l.Number(v)
	case time.Time:
		return l.Date(v)
	case Message:
		return l.Say(v)
	case []Message:
		said := make([]string, len(v))
		for i, m := range v {
			said[i] = l.Say(m)
		}
		return strings.Join(said, "; ")
	}
	return fmt.Sprint(v)
}

// markup returns a value as HTML.
func (l Language) markup(v any) string {
	if v, ok := v.(template.HTML); ok {
		return string(v)
	}
	return string(l.Isolate(l.plain(v)))
}

// Mark returns a text as it is. It marks a text that is shown elsewhere, so that the catalogs have it.
func Mark(english string) string { return english }

// PluralForms returns the wordings of a text for a number, by the plural forms of the language, with
// the placeholder {n}: for scripts of pages.
func (l Language) PluralForms(one, many string) map[string]string {
	forms := map[string]string{}
	for n := range 1000 {
		forms[l.form(n)] = l.plural(n, one, many)
	}
	return forms
}
