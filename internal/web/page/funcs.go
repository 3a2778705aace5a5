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
	"postern/internal/text/number"
	"postern/internal/text/size"
	"postern/internal/text/zone"
	"postern/internal/web/static"
)

// funcs are the functions of every template.
var funcs = template.FuncMap{
	"asset":     static.URL,
	"lines":     clinic.Lines,
	"dialled":   dialled,
	"count":     number.Text,
	"count64":   func(n uint64) string { return number.Text(int(n)) }, // #nosec G115 -- a count of existing things
	"bytes64":   func(n uint64) string { return size.Text(int64(n)) }, // #nosec G115 -- bytes of a disk
	"plural":    number.Of,
	"of":        of,
	"bytes":     size.Text,
	"time":      clock,
	"zoned":     zoned,
	"exact":     exact,
	"zone":      func() string { return zone.Name(time.Now()) },
	"when":      func(t any) template.HTML { return recent(t, time.Now()) },
	"day":       day,
	"hour":      hour,
	"lower":     Lower,
	"dict":      dict,
	"linked":    linked,
	"percent":   number.Percent,
	"hasPrefix": strings.HasPrefix,
	"join":      strings.Join,
	"json":      asJSON,
	"isolate":   isolate,
	// The number of a limit, and a text in which numbers replace the names of limits.
	"limit":      limits.Number,
	"withLimits": limits.Fill,
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
func of(n int, l *labels.Label) string { return number.Of(n, Lower(l.One), Lower(l.Many)) }

// clock writes a date and time for people, in the clinic's time zone, which the foot of
// every page names. The tooltip has the zone and UTC.
func clock(t any) template.HTML {
	return moment(t, "2 January 2006, 3:04\u00a0pm")
}

// zoned is clock with the zone: for a time on which people act.
func zoned(t any) template.HTML { return moment(t, "2 January 2006, 3:04\u00a0pm", withZone) }

// exact is clock with seconds and the zone: for a time that is evidence.
func exact(t any) template.HTML { return moment(t, "2 January 2006, 3:04:05\u00a0pm", withZone) }

func withZone(t time.Time) string { return " " + strings.ReplaceAll(zone.Short(t), " ", "\u00a0") }

// recent writes a time in short form for lists: "Today, 2:03 pm". Use clock on pages
// that are kept or printed.
func recent(t any, now time.Time) template.HTML {
	const hour = ", 3:04\u00a0pm"
	at := instant(t).Local()
	switch days := midnight(now.Local()).Sub(midnight(at)); {
	case days == 0:
		return moment(t, "Today"+hour)
	case days > 0 && days <= 25*time.Hour:
		return moment(t, "Yesterday"+hour)
	case days < 0 && days >= -25*time.Hour:
		return moment(t, "Tomorrow"+hour)
	}
	return clock(t)
}

// day writes the date of a time.
func day(t any) template.HTML { return moment(t, "2 January 2006") }

// hour writes the time of day.
func hour(t any) template.HTML { return moment(t, "3:04\u00a0pm") }

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

// moment writes a time in the clinic's time zone, and what each of more says of it.
func moment(v any, layout string, more ...func(time.Time) string) template.HTML {
	t := instant(v)
	if t.IsZero() {
		return ""
	}
	local := t.Local()
	said := local.Format(layout)
	for _, f := range more {
		said += f(t)
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s (%s UTC)">%s</time>`, // #nosec G203 -- digits and names of months and zones
		t.UTC().Format(time.RFC3339), local.Format("2006-01-02 15:04:05 MST"), t.UTC().Format("2006-01-02 15:04:05"), said))
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
