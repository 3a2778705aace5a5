package language

import (
	"html/template"
	"strings"
	"unicode"
)

// Isolate returns a text that people wrote as HTML. If it has letters of the other direction than
// the language, it is within a <bdi>: else it would change the order of the words around it.
func (l Language) Isolate(text string) template.HTML {
	escaped := template.HTMLEscapeString(text)
	if !l.Mixes(text) {
		return template.HTML(escaped) // #nosec G203 -- escaped
	}
	return template.HTML("<bdi>" + escaped + "</bdi>") // #nosec G203 -- escaped
}

// Mixes reports whether a text has letters of the other direction than the language.
func (l Language) Mixes(text string) bool {
	if l.RightToLeft() {
		return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) && !rightToLeft(r) })
	}
	return strings.ContainsFunc(text, rightToLeft)
}

// rightToLeft reports whether a letter belongs to a right-to-left script.
func rightToLeft(r rune) bool {
	return r >= 0x590 && unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko,
		unicode.Samaritan, unicode.Mandaic, unicode.Adlam, unicode.Hanifi_Rohingya, unicode.Mende_Kikakui)
}
