package sendgrid

import (
	"regexp"
	"strings"
	"unicode"
)

// addresses finds e-mail addresses in text, also percent- and Q-encoded ones. It
// would rather take too much than leave something.
var addresses = regexp.MustCompile(`(?i)(?:"(?:[^"\\]|\\.)*"|[^\s<>(),;:"\[\]]*)(?:@|%40|=40)([\p{L}\p{N}][\p{L}\p{N}.-]*|\[[^\]\s]*\])?`)

// mask leaves of every e-mail address in text the domain alone: ***@example.org.
// Of the address known, which the text is about, it also takes out the local
// part where that stands alone ("jo.smith: no such user").
func mask(text, known string) string {
	if text == "" {
		return ""
	}
	// Looked for first: most texts, ids above all, hold none, and the expression is slow.
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

// clean makes a text of SendGrid's or a mail server's fit to be kept: masked,
// on one line, of bounded length.
func clean(text, known string) string {
	// Masked before it is cut, or half an address could stay at the end.
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
