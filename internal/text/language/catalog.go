package language

import (
	"embed"
	"encoding/json"
	"fmt"
	"sync"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed catalog/*.json
var files embed.FS

// An Audience is a part of the texts with catalogs of its own.
type Audience string

// The audiences.
const (
	// ForPortal are the texts of pages that portal users see, and of e-mails: in the languages
	// [Portal]. Some of these pages are those of staff, too.
	ForPortal Audience = "portal"
	// ForStaff are the texts that only staff see: in the languages [Staff].
	ForStaff Audience = "staff"
)

// Languages returns the languages into which the texts of an audience are translated.
func (a Audience) Languages() []Language {
	if a == ForStaff {
		return Staff[1:]
	}
	return Portal[1:]
}

// An Entry is the translation of a text: one wording, or one for each plural form (CLDR) of the
// language: "zero", "one", "two", "few", "many", "other".
type Entry struct {
	Text  string
	Forms map[string]string // nil: the text has no number
}

// UnmarshalJSON reads a string, or an object with plural forms.
func (e *Entry) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &e.Text)
	}
	return json.Unmarshal(b, &e.Forms)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (e Entry) MarshalJSON() ([]byte, error) {
	if e.Forms != nil {
		return json.Marshal(e.Forms)
	}
	return json.Marshal(e.Text)
}

// File returns the name of a catalog below the folder of this package.
func File(a Audience, l Language) string { return fmt.Sprintf("catalog/%s.%s.json", a, l) }

// Load returns a catalog by the ids of its texts.
func Load(a Audience, l Language) (map[string]Entry, error) {
	b, err := files.ReadFile(File(a, l))
	if err != nil {
		return nil, fmt.Errorf("reading a catalog: %w", err)
	}
	entries := map[string]Entry{}
	if err := json.Unmarshal(b, &entries); err != nil {
		return nil, fmt.Errorf("reading the catalog %s: %w", File(a, l), err)
	}
	return entries, nil
}

// catalogs are the texts of each language, of all audiences, read at the first use. A file that
// can't be read panics: embedded files can't change after the build, and the tests read them all.
var catalogs = sync.OnceValue(func() map[Language]map[string]Entry {
	all := map[Language]map[string]Entry{}
	for _, audience := range []Audience{ForStaff, ForPortal} {
		for _, l := range audience.Languages() {
			entries, err := Load(audience, l)
			if err != nil {
				panic(err)
			}
			if all[l] == nil {
				all[l] = map[string]Entry{}
			}
			for id, e := range entries {
				all[l][id] = e
			}
		}
	}
	return all
})

// tags are the tags of the languages for plural forms.
var tags = map[Language]language.Tag{English: language.English, Spanish: language.Spanish, French: language.French,
	German: language.German, Arabic: language.Arabic, Chinese: language.Chinese}

// form returns the plural form of a number.
func (l Language) form(n int) string {
	if n < 0 {
		n = -n
	}
	return formNames[plural.Cardinal.MatchPlural(tags[l], n, 0, 0, 0, 0)]
}

var formNames = map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}

// Forms returns the plural forms that a language has, as the CLDR names them.
func (l Language) Forms() []string {
	used := map[string]bool{}
	for n := range 1000 {
		used[l.form(n)] = true
	}
	var forms []string
	for _, f := range []string{"zero", "one", "two", "few", "many", "other"} {
		if used[f] {
			forms = append(forms, f)
		}
	}
	return forms
}

// translated returns the wording of a text without a number.
func (l Language) translated(id string) string {
	switch {
	case l == English, l == "", id == "":
		return id
	case l == Doubled:
		return id + " " + id
	}
	if e, ok := catalogs()[l][id]; ok && e.Text != "" {
		return e.Text
	}
	return id
}

// plural returns the wording of a text for a number.
func (l Language) plural(n int, one, many string) string {
	english := many
	if n == 1 {
		english = one
	}
	switch {
	case l == Doubled:
		return english + " " + english
	case l == English || l == "":
		return english
	}
	if text := catalogs()[l][many].Forms[l.form(n)]; text != "" {
		return text
	}
	return english
}

// Doubled is a language for tests of the layout: each text twice, as long as the longest translations. No one can choose it.
const Doubled Language = "en-doubled"
