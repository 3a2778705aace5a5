package sendgrid

import (
	"regexp"
	"strings"
	"unicode"
)

// addresses finds e-mail addresses in text, also percent- and Q-encoded ones. It rather
// matches too much than too little.
var addresses = regexp.MustCompile(`(?i)(?:"(?:[^"\\]|\\.)*"|[^\s<>(),;:"\[\]]*)(?:@|%40|=40)([\p{L}\p{N}][\p{L}\p{N}.-]*|\[[^\]\s]*\])?`)

// mask replaces the local part of every e-mail address in text: ***@example.org. It also
// replaces the local part of the address known, to which the text refers, where it
// appears without a domain ("jo.smith: no such user").
func mask(text, known string) string {
	if text == "" {
		return ""
	}
	// Checked first, because the expression is slow and most texts, such as ids, contain
	// no address.
	if strings.ContainsAny(text, "@%=") {
		text = addresses.ReplaceAllString(text, "***@$1")
	}
	at := strings.LastIndexByte(known, '@')
	if at < 3 {
		return text
	}
	local, err := regexp.Compile("(?i)" + regexp.QuoteMeta(known[:at]))
	if err != nil {
		return text
	}
	return local.ReplaceAllLiteralString(text, "***")
}

const maxReason = 300

// clean prepares a text of SendGrid or of a mail server for storage: masked, on one
// line, with a limited length.
func clean(text, known string) string {
	// Masked before it is shortened: otherwise half an address could remain at the end.
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, mask(strings.ToValidUTF8(text, "\uFFFD"), strings.ToValidUTF8(known, "\uFFFD")))
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > maxReason {
		return string(runes[:maxReason-1]) + "…"
	}
	return string(runes)
}
