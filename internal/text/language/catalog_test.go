package language_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/text/language"
)

//go:generate go test -run TestCatalogs -update .

var update = flag.Bool("update", false, "add the missing texts to the catalogs, and remove those that are no longer used")

// Every text that is shown has a translation into every language of its audience, with the same
// placeholders and all plural forms, and no catalog has a text that is not shown.
func TestCatalogs(t *testing.T) {
	x := extract(t)
	for _, bare := range x.bare {
		t.Errorf("not within t: %s", bare)
	}
	for audience, texts := range x.of {
		for _, l := range audience.Languages() {
			check(t, audience, l, texts)
		}
	}
}

func check(t *testing.T, audience language.Audience, l language.Language, texts texts) {
	entries, err := language.Load(audience, l)
	if err != nil {
		t.Fatal(err)
	}
	name := language.File(audience, l)
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		e, ok := entries[id]
		text := texts[id]
		switch {
		case text.one == "" && e.Text == "", text.one != "" && len(e.Forms) == 0:
			t.Errorf("%s has no translation of %q (%s)", name, id, text.where)
			if !ok || (text.one != "") != (e.Forms != nil) {
				entries[id] = empty(l, text)
			}
		case text.one == "":
			placeholders(t, name, id, id, e.Text)
		default:
			forms := slices.Sorted(maps.Keys(e.Forms))
			want := slices.Sorted(slices.Values(l.Forms()))
			if !slices.Equal(forms, want) {
				t.Errorf("%s, %q has the plural forms %v, want %v", name, id, forms, want)
			}
			for form, translated := range e.Forms {
				if translated == "" {
					t.Errorf("%s has no translation of %q for the plural form %s", name, id, form)
				}
				if form == "other" || form == "many" || form == "few" {
					placeholders(t, name+", "+form, id, id, translated)
				}
			}
		}
	}
	for id := range entries {
		if _, used := texts[id]; !used {
			t.Errorf("%s has %q, which is shown nowhere", name, id)
			delete(entries, id)
		}
	}
	if *update {
		write(t, name, entries)
	}
}

// empty returns an entry to be filled in.
func empty(l language.Language, text found) language.Entry {
	if text.one == "" {
		return language.Entry{}
	}
	forms := map[string]string{}
	for _, f := range l.Forms() {
		forms[f] = ""
	}
	return language.Entry{Forms: forms}
}

// placeholder is a placeholder, or a label or limit in braces.
var placeholder = regexp.MustCompile(`\{[^{}]+\}`)

func placeholders(t *testing.T, where, id, source, translated string) {
	want, got := placeholder.FindAllString(source, -1), placeholder.FindAllString(translated, -1)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, %q: the placeholders differ (-source +translation):\n%s", where, id, diff)
	}
}

func write(t *testing.T, name string, entries map[string]language.Entry) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(entries); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil { // #nosec G306 -- a source file
		t.Fatal(err)
	}
}
