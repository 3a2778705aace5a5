package directory

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What a field may hold. Each check gives the reason why a value is refused, or "".

const (
	longestID    = 64
	longestName  = 200 // characters
	longestEmail = 254 // RFC 5321, section 4.5.3.1.3
)

func checkID(id string) (reason string) {
	switch {
	case id == "":
		return "is missing"
	case len(id) > longestID:
		return "is longer than 64 characters"
	}
	for _, c := range []byte(id) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return "may hold only letters A to Z, digits, '.', '_' and '-'"
		}
	}
	return ""
}

// checkText is for what a person reads: anything that can be printed on one line.
func checkText(text string) (reason string) { return checkLine(text, longestName) }

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
	if strings.TrimSpace(name) == "" {
		return "is missing"
	}
	return checkText(name)
}

// checkEmail accepts what SendGrid takes as a bare address (RFC 5322 addr-spec
// without comments), and "" for none.
func checkEmail(email string) (reason string) {
	if email == "" {
		return ""
	}
	if reason := checkLine(email, longestEmail); reason != "" {
		return reason
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Name != "" || parsed.Address != email {
		return "is not an e-mail address of the form name@example.org"
	}
	return ""
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
		return date{}, "is not a date: write YYYY-MM-DD"
	}
	return date{dayOf(t), true}, ""
}

// parseBool reads true and false, and nothing else.
func parseBool(text string) (value bool, reason string) {
	if text != "true" && text != "false" {
		return false, "must be true or false"
	}
	return text == "true", ""
}

func oneOf(text, a, b string) (reason string) {
	if text != a && text != b {
		return "must be " + a + " or " + b
	}
	return ""
}
