package export

import (
	"strconv"
	"strings"
	"unicode"
)

// Inert gives a text of which no spreadsheet takes any part for a formula: an
// apostrophe stands wherever a cell could begin with one
// (https://owasp.org/www-community/attacks/CSV_Injection). That is at the beginning, and
// behind a semicolon, a tab or the end of a line too: where a comma is the decimal sign,
// spreadsheets part cells at semicolons, whatever stands in quotes, and quotes, spaces
// and marks in front of the sign may come to nothing. Whatever a CSV file of ours holds
// that comes from outside goes through here.
func Inert(text string) string {
	var b strings.Builder
	cell, done := 0, 0 // where the cell began, -1 within one; and what is in b
	for i, r := range text {
		switch {
		case strings.ContainsRune(";\t\r\n", r):
			cell = i + 1
		case cell < 0 || r == '"' || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r):
		default:
			if strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20", r) {
				b.WriteString(text[done:cell] + "'")
				done = cell
			}
			cell = -1
		}
	}
	return b.String() + text[done:]
}

// cell makes a text inert and plain: what is not printable ASCII is \u and its code.
func cell(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
		quoted := strconv.QuoteToASCII(text)
		text = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	return Inert(text)
}
