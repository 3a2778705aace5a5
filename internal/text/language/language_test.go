package language

import (
	"context"
	"html/template"
	"slices"
	"testing"
	"time"
)

// The best language for a header is found; without one that fits it is the default.
func TestMatch(t *testing.T) {
	for accept, want := range map[string]Language{
		"":                            English,
		"es":                          Spanish,
		"es-MX,es;q=0.9,en;q=0.8":     Spanish,
		"de-AT":                       German,
		"fr-CA,en;q=0.5":              French,
		"ar-EG":                       Arabic,
		"zh-CN":                       Chinese,
		"zh-Hans-SG,en;q=0.4":         Chinese,
		"it,fr;q=0.5":                 French,
		"tlh":                         Default,
		"not a header ;;;":            Default,
		"en-GB,es;q=0.9":              English,
		"en;q=0.1,zh;q=0.9,ar;q=0.95": Arabic,
	} {
		if got := Match(accept, Portal); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
	for accept, want := range map[string]Language{"es-MX,en;q=0.5": Spanish, "de,es;q=0.5": Spanish, "fr": Default} {
		if got := Match(accept, Staff); got != want {
			t.Errorf("staff who prefer %q get %s, want %s", accept, got, want)
		}
	}
}

// A context has a language, and without one the default.
func TestContext(t *testing.T) {
	ctx := context.Background()
	if got := From(ctx); got != Default {
		t.Errorf("without: %s", got)
	}
	if got := From(With(ctx, "")); got != Default {
		t.Errorf("none: %s", got)
	}
	if got := From(With(ctx, Arabic)); got != Arabic {
		t.Errorf("Arabic: %s", got)
	}
}

// A tag is known or refused.
func TestParse(t *testing.T) {
	for _, l := range Portal {
		if got, known := Parse(string(l)); !known || got != l || got.Name() == "" {
			t.Errorf("%s: %s, %t", l, got, known)
		}
	}
	for _, wrong := range []string{"", "xx", "en-doubled", "EN", "es\n"} {
		if _, known := Parse(wrong); known {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// The plural forms are those of the CLDR: Arabic has six.
func TestForms(t *testing.T) {
	for l, want := range map[Language][]string{
		English: {"one", "other"}, German: {"one", "other"}, Chinese: {"other"},
		Arabic: {"zero", "one", "two", "few", "many", "other"},
	} {
		if got := l.Forms(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", l, got, want)
		}
	}
	for n, want := range map[int]string{0: "لا مستندات", 1: "مستند واحد", 2: "مستندان", 3: "3 مستندات", 11: "11 مستندًا", 100: "100 مستند", 1234: "1,234 مستندًا"} {
		if got := Arabic.Count(n, "{n} document", "{n} documents"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := French.Count(0, "{n} document", "{n} documents"); got != "0 document" {
		t.Errorf("French, 0: %q", got)
	}
}

// Values are escaped and isolated, and markup is kept; an unknown placeholder stays.
func TestHTML(t *testing.T) {
	bold := Around{"<b>", "</b>"}
	for _, c := range []struct {
		l    Language
		text string
		args []any
		want template.HTML
	}{
		{English, "From {sender}", []any{"sender", "A <b> & B"}, "From A &lt;b&gt; &amp; B"},
		{English, "From {sender}", []any{"sender", "منى"}, "From <bdi>منى</bdi>"},
		{Arabic, "From {sender}", []any{"sender", "Ada"}, "من <bdi>Ada</bdi>"},
		{Arabic, "From {sender}", []any{"sender", "منى"}, "من منى"},
		{English, "1 < 2 {b}c{/b}", []any{"b", bold}, "1 &lt; 2 <b>c</b>"},
		{English, "At {time}", []any{"time", template.HTML("<time>3</time>")}, "At <time>3</time>"},
		{English, "{unknown} {n}", []any{"n", 1234}, "{unknown} 1,234"},
		{English, "{a}", []any{"a", "{b}", "b", "no"}, "{b}"},
		{Spanish, "no such text", nil, "no such text"},
		{Doubled, "Help", nil, "Help Help"},
	} {
		if got := c.l.HTML(c.text, c.args...); got != c.want {
			t.Errorf("%s, %q: %q, want %q", c.l, c.text, got, c.want)
		}
	}
}

// Times and numbers are written as the language does.
func TestFormats(t *testing.T) {
	at := time.Date(2026, time.March, 1, 15, 4, 5, 0, time.UTC)
	for l, want := range map[Language]string{
		English: "1 March 2026, 3:04\u00a0pm",
		Spanish: "1 de marzo de 2026, 15:04",
		French:  "1er mars 2026, 15:04",
		German:  "1. März 2026, 15:04",
		Arabic:  "1 مارس 2026، 15:04",
		Chinese: "2026年3月1日 15:04",
	} {
		if got := l.DateTime(at, false); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
	if got := German.DateTime(at, true); got != "1. März 2026, 15:04:05" {
		t.Errorf("with seconds: %q", got)
	}
	for l, want := range map[Language]string{English: "1.2 MB", German: "1,2 MB", Arabic: "1.2 MB"} {
		if got := l.Size(1258291); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
	for l, want := range map[Language]string{English: "61%", Spanish: "61\u00a0%", Chinese: "61%"} {
		if got := l.Percent(61, 100); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
	if got := Spanish.Size(1); got != "1 byte" {
		t.Errorf("a byte is %q", got)
	}
	for l, want := range map[Language]string{English: "Ana, Ben and you", Chinese: "Ana、Ben和you", Arabic: "Ana، Ben وyou"} {
		if got := l.List([]string{"Ana", "Ben", "you"}); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
}

// An error of a message is a sentence in each language, and an error in English.
func TestNewError(t *testing.T) {
	err := NewError(Message{One: "You have {n} passkey: remove one first.", ID: "You have {n} passkeys: remove one first.", N: 20})
	if got := err.Error(); got != "you have 20 passkeys: remove one first" {
		t.Error(got)
	}
	if got := German.Say(err.Message()); got != "Sie haben 20 Passkeys: Entfernen Sie zuerst einen." {
		t.Error(got)
	}
}
