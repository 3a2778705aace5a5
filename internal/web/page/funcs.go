package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"

	"postern/internal/clinic"
	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/static"
)

// funcsIn returns the functions of every template, for a language.
func funcsIn(l language.Language) template.FuncMap {
	m := moments{l}
	return template.FuncMap{
		"asset":     static.URL,
		"lines":     clinic.Lines,
		"dialled":   dialled,
		"telephone": telephone,
		"count":     l.Number,
		"count64":   func(n uint64) string { return l.Number(int(n)) }, // #nosec G115 -- a count of existing things
		"bytes64":   func(n uint64) string { return l.Size(int64(n)) }, // #nosec G115 -- bytes of a disk
		// In another language than English, plural needs the texts "{n} device" and "{n} devices".
		"plural":    func(n int, one, many string) string { return l.Count(n, "{n} "+one, "{n} "+many) },
		"of":        func(n int, label *labels.Label) string { return of(l, n, label) },
		"bytes":     l.Size,
		"time":      m.clock,
		"zoned":     m.zoned,
		"exact":     m.exact,
		"zone":      func() string { return zone.Name(time.Now()) },
		"when":      func(t any) template.HTML { return m.recent(t, time.Now()) },
		"day":       m.day,
		"hour":      m.hour,
		"lower":     Lower,
		"dict":      dict,
		"linked":    linked,
		"percent":   l.Percent,
		"hasPrefix": strings.HasPrefix,
		"join":      strings.Join,
		"json":      asJSON,
		"isolate":   func(v any) any { return isolate(l, v) },
		// The number of a limit, by its name.
		"limit": limits.Number,
		// Texts: t and tn those that portal users see, and ts and tsn those of staff. A test finds
		// them by these names. tr is for a text that Go code marks.
		"t":   l.HTML,
		"ts":  l.HTML,
		"tn":  l.CountHTML,
		"tsn": l.CountHTML,
		"tr":  func(english string) template.HTML { return l.HTML(english) },
		// The plural forms for a script.
		"forms":   func(one, many string) (string, error) { return asJSON(l.PluralForms(one, many)) },
		"tsforms": func(one, many string) (string, error) { return asJSON(l.PluralForms(one, many)) },
		// Values of texts.
		"link":   link,
		"linkIf": linkIf,
		"strong": func() language.Around { return language.Around{Before: "<strong>", After: "</strong>"} },
		"hidden": func() language.Around {
			return language.Around{Before: `<span class="govuk-visually-hidden">`, After: "</span>"}
		},
		"code": func(text string) template.HTML {
			return template.HTML("<code>" + template.HTMLEscapeString(text) + "</code>")
		}, // #nosec G203 -- escaped
		"agent": func(name string) string { return agentIn(l, name) },
	}
}

// link stands around the words of a link to a page of this site.
func link(href string) (language.Around, error) {
	if !strings.HasPrefix(href, "/") {
		return language.Around{}, fmt.Errorf("link: %q is no address of this site", href)
	}
	return language.Around{Before: template.HTML(`<a class="govuk-link" href="` + template.HTMLEscapeString(href) + `">`), After: "</a>"}, nil // #nosec G203 -- escaped
}

// linkIf is link if the reader may open the page, else nothing around the words.
func linkIf(may bool, href string) (language.Around, error) {
	if !may {
		return language.Around{}, nil
	}
	return link(href)
}

// telephone returns a telephone number as a link.
func telephone(number string) template.HTML {
	return template.HTML(`<a class="govuk-link" href="tel:` + dialled(number) + `"><bdi>` + template.HTMLEscapeString(number) + `</bdi></a>`) // #nosec G203 -- escaped
}

// agentIn returns the name of a browser and its system, as package agent makes it, in a language.
func agentIn(l language.Language, name string) string {
	if browser, system, both := strings.Cut(name, " on "); both {
		return l.Text("{browser} on {system}", "browser", browser, "system", system)
	}
	return name
}

// dialled returns a telephone number as a tel: link has it: RFC 3966, section 5.
func dialled(telephone string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, telephone)
}

// of returns "1 portal user" or "3 portal users", with the clinic's label.
func of(l language.Language, n int, label *labels.Label) string {
	if n == 1 {
		return "1 " + Lower(label.One)
	}
	return l.Number(n) + " " + Lower(label.Many)
}

// moments writes times in a language, in the clinic's time zone.
type moments struct{ language.Language }

// clock writes a date and time for people, in the clinic's time zone, which the foot of
// every page names. The tooltip has the zone and UTC.
func (m moments) clock(t any) template.HTML {
	return moment(t, func(t time.Time) string { return m.DateTime(t, false) })
}

// zoned is clock with the zone: for a time on which people act.
func (m moments) zoned(t any) template.HTML {
	return moment(t, func(t time.Time) string { return m.DateTime(t, false) + withZone(t) })
}

// exact is clock with seconds and the zone: for a time that is evidence.
func (m moments) exact(t any) template.HTML {
	return moment(t, func(t time.Time) string { return m.DateTime(t, true) + withZone(t) })
}

func withZone(t time.Time) string { return " " + strings.ReplaceAll(zone.Short(t), " ", "\u00a0") }

// recent writes a time in short form for lists: "Today, 2:03 pm". Use clock on pages
// that are kept or printed.
func (m moments) recent(t any, now time.Time) template.HTML {
	at := zone.In(instant(t))
	near := func(english string) template.HTML {
		return moment(t, func(t time.Time) string { return m.Text(english, "time", m.Clock(t, false)) })
	}
	switch days := midnight(zone.In(now)).Sub(midnight(at)); {
	case days == 0:
		return near(language.Mark("Today, {time}"))
	case days > 0 && days <= 25*time.Hour:
		return near(language.Mark("Yesterday, {time}"))
	case days < 0 && days >= -25*time.Hour:
		return near(language.Mark("Tomorrow, {time}"))
	}
	return m.clock(t)
}

// day writes the date of a time.
func (m moments) day(t any) template.HTML { return moment(t, m.Date) }

// hour writes the time of day.
func (m moments) hour(t any) template.HTML {
	return moment(t, func(t time.Time) string { return m.Clock(t, false) })
}

// instant returns a time, or the time that a pointer refers to; zero for nil.
func instant(v any) time.Time {
	switch v := v.(type) {
	case time.Time:
		return v
	case *time.Time:
		if v != nil {
			return *v
		}
	}
	return time.Time{}
}

// midnight returns the start of the day of t.
func midnight(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, t.Location())
}

// moment writes a time in the clinic's time zone, as write does.
func moment(v any, write func(time.Time) string) template.HTML {
	t := instant(v)
	if t.IsZero() {
		return ""
	}
	local := zone.In(t)
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s (%s UTC)">%s</time>`, // #nosec G203 -- digits and names of months and zones
		t.UTC().Format(time.RFC3339), local.Format("2006-01-02 15:04:05 MST"), t.UTC().Format("2006-01-02 15:04:05"), write(local)))
}

// dict makes the dot of a shared template: dict "Field" "subject" "Frame" $.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: %d arguments are not pairs", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is not a name", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

var address = regexp.MustCompile(`https?://[^\s<>"']+[^\s<>"'.,;:!?)\]}]`)

// linked makes links of the web addresses in a text that people wrote, and escapes the
// rest. The style of .app-message-body keeps the line breaks.
func linked(text string) template.HTML {
	var b strings.Builder
	for {
		at := address.FindStringIndex(text)
		if at == nil {
			b.WriteString(template.HTMLEscapeString(text))
			return template.HTML(b.String()) // #nosec G203 -- escaped piece by piece
		}
		url := template.HTMLEscapeString(text[at[0]:at[1]])
		b.WriteString(template.HTMLEscapeString(text[:at[0]]))
		b.WriteString(`<a class="govuk-link" rel="noopener noreferrer" href="` + url + `">` + url + `</a>`)
		text = text[at[1]:]
	}
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
