package directory

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/limits"
	"postern/internal/text/invisible"
)

// Checks of fields. Each returns the reason why a value is refused, or "".

func checkID(id string) (reason string) {
	switch {
	case id == "":
		return "is missing"
	case len(id) > int(limits.DirectoryID):
		return "is longer than " + limits.DirectoryID.String()
	}
	for _, c := range id {
		if c != ' ' && invisible.Is(c) {
			return "contains " + invisible.Name(c) + ": it may hold only letters A to Z, digits, '.', '_' and '-'"
		}
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return "may hold only letters A to Z, digits, '.', '_' and '-'"
		}
	}
	return ""
}

// checkText checks a text for people: anything that can be printed on one line.
func checkText(text string) (reason string) { return checkLine(text, int(limits.DirectoryName)) }

func checkLine(text string, longest int) (reason string) {
	switch {
	case !utf8.ValidString(text):
		return "is not UTF-8: save the file as UTF-8"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds a control character or a line break"
	case utf8.RuneCountInString(text) > longest:
		return fmt.Sprintf("is longer than %d characters", longest)
	}
	return ""
}

func checkName(name string) (reason string) {
	if invisible.Trim(name) == "" {
		return "is missing"
	}
	return checkText(name)
}

// date is a calendar day, or none.
type date struct {
	day int32 // as Postgres counts: days since 2000-01-01
	set bool
}

// parseDate reads YYYY-MM-DD, and "" as none.
func parseDate(text string) (d date, reason string) {
	if text == "" {
		return date{}, ""
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 {
		return date{}, "is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd"
	}
	return date{dayOf(t), true}, ""
}
