package language

import (
	"fmt"
	"strings"
	"time"

	"postern/internal/text/number"
	"postern/internal/text/size"
)

// shape is how a language writes numbers and times. Digits are European in all of them, also in
// Arabic: so times and codes look the same on every page and on paper.
type shape struct {
	group, decimal string
	date           func(year int, month string, day int) string
	clock          string // a layout of package time
	between        string // a date and a time of day
	months         []string
}

var shapes = map[Language]shape{
	Spanish: {".", ",", func(y int, m string, d int) string { return fmt.Sprintf("%d de %s de %d", d, m, y) }, "15:04", ", ",
		strings.Fields("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre")},
	French: {"\u202f", ",", func(y int, m string, d int) string {
		if d == 1 {
			return fmt.Sprintf("1er %s %d", m, y)
		}
		return fmt.Sprintf("%d %s %d", d, m, y)
	}, "15:04", ", ", strings.Fields("janvier février mars avril mai juin juillet août septembre octobre novembre décembre")},
	German: {".", ",", func(y int, m string, d int) string { return fmt.Sprintf("%d. %s %d", d, m, y) }, "15:04", ", ",
		strings.Fields("Januar Februar März April Mai Juni Juli August September Oktober November Dezember")},
	Arabic: {",", ".", func(y int, m string, d int) string { return fmt.Sprintf("%d %s %d", d, m, y) }, "15:04", "، ",
		strings.Fields("يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر")},
	Chinese: {",", ".", func(y int, m string, d int) string { return fmt.Sprintf("%d年%s月%d日", y, m, d) }, "15:04", " ",
		strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12")},
}

// Number writes a number: "1,204,331", "1.204.331".
func (l Language) Number(n int) string {
	s, ok := shapes[l]
	if !ok {
		return number.Text(n)
	}
	return strings.ReplaceAll(number.Text(n), ",", s.group)
}

// Percent writes how much of the whole a part is: "61%", "61 %". It is 100% only of all, and 0% only of
// nothing.
func (l Language) Percent(part, whole int) string {
	text := number.Percent(part, whole)
	if l == Spanish || l == French || l == German {
		return strings.Replace(text, "%", "\u00a0%", 1)
	}
	return text
}

// Size writes a size in bytes: "1.2 MB", "1,2 MB".
func (l Language) Size(bytes int64) string {
	s, ok := shapes[l]
	switch {
	case !ok:
		return size.Text(bytes)
	case bytes < 1000:
		n := int(max(bytes, 0))
		return l.Count(n, "{n} byte", "{n} bytes")
	}
	return strings.Replace(size.Text(bytes), ".", s.decimal, 1)
}

// Date writes a date: "2 January 2006".
func (l Language) Date(t time.Time) string {
	s, ok := shapes[l]
	if !ok {
		return t.Format("2 January 2006")
	}
	return s.date(t.Year(), s.months[t.Month()-1], t.Day())
}

// Clock writes a time of day: "3:04 pm", "15:04"; with the seconds if they are asked for.
func (l Language) Clock(t time.Time, seconds bool) string {
	s, ok := shapes[l]
	switch {
	case !ok && seconds:
		return t.Format("3:04:05\u00a0pm")
	case !ok:
		return t.Format("3:04\u00a0pm")
	case seconds:
		return t.Format(s.clock + ":05")
	}
	return t.Format(s.clock)
}

// DateTime writes a date and a time of day: "2 January 2006, 3:04 pm".
func (l Language) DateTime(t time.Time, seconds bool) string {
	between := ", "
	if s, ok := shapes[l]; ok {
		between = s.between
	}
	return l.Date(t) + between + l.Clock(t, seconds)
}

// List joins names: "Anna, Ben and you".
func (l Language) List(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	comma := map[Language]string{Arabic: "، ", Chinese: "、"}[l]
	if comma == "" {
		comma = ", "
	}
	return l.Text("{names} and {last}", "names", strings.Join(names[:last], comma), "last", names[last])
}
