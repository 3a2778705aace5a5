// Package language is the language of the pages and e-mails that a person gets.
//
// A text in the code is its English wording. The same wording is its id in the catalogs:
// one file of JSON for each language and [Audience] in the folder catalog. A text can have
// placeholders and a number:
//
//	l.Text("Sent by {who}", "who", name)
//	l.Count(3, "{n} document", "{n} documents")
//
// {who} stands for a value. {a}sign in{/a} stands for a value of the type [Around], such as
// a link, whose words are translated with the sentence. A text without a translation is
// shown in English, and a test fails.
//
// The texts of people, such as subjects and names, are never translated.
//
// This package does no I/O. All of it is safe for concurrent use.
package language

import (
	"context"

	"golang.org/x/text/language"
)

// A Language is one in which Postern speaks to people: its BCP 47 tag.
type Language string

// The languages.
const (
	English Language = "en"
	Spanish Language = "es"
	French  Language = "fr"
	German  Language = "de"
	Arabic  Language = "ar"
	Chinese Language = "zh" // simplified
)

// Default is the language of those of whom no other is known.
const Default = English

// Portal are the languages of pages of portal users and of e-mails, in the order of the menu.
var Portal = []Language{English, Spanish, French, German, Arabic, Chinese}

// Staff are the languages of pages of staff, in the order of the menu.
var Staff = []Language{English, Spanish}

// names are what the languages are called in themselves.
var names = map[Language]string{English: "English", Spanish: "Español", French: "Français", German: "Deutsch", Arabic: "العربية", Chinese: "中文"}

// Name returns what a language is called in itself.
func (l Language) Name() string { return names[l] }

// Tag returns the tag for the attribute lang and the header Content-Language.
func (l Language) Tag() string {
	switch l {
	case Chinese:
		return "zh-Hans"
	case "":
		return string(Default)
	}
	return string(l)
}

// RightToLeft reports whether the language is written from right to left.
func (l Language) RightToLeft() bool { return l == Arabic }

// Parse returns the language of a tag as [Portal] has it. It reports false for any other text.
func Parse(tag string) (Language, bool) {
	l := Language(tag)
	_, known := names[l]
	return l, known
}

// Match returns the one of the languages that fits a header Accept-Language best; [Default] if none
// fits.
func Match(accept string, among []Language) Language {
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(wanted) == 0 {
		return Default
	}
	tags := make([]language.Tag, len(among))
	for i, l := range among {
		tags[i] = language.Make(string(l))
	}
	_, i, confidence := language.NewMatcher(tags).Match(wanted...)
	if confidence == language.No {
		return Default
	}
	return among[i]
}

type contextKey struct{}

// With returns a context in which a language is used.
func With(ctx context.Context, l Language) context.Context {
	return context.WithValue(ctx, contextKey{}, l)
}

// From returns the language of a context; [Default] if it has none.
func From(ctx context.Context) Language {
	if l, ok := ctx.Value(contextKey{}).(Language); ok && l != "" {
		return l
	}
	return Default
}
