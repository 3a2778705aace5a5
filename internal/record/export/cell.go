package export

import (
	"strconv"
	"strings"
	"unicode"
)

// EscapeFormula returns a text of which no spreadsheet reads any part as a formula. It adds an
// apostrophe wherever a cell could begin with a formula
// (https://owasp.org/www-community/attacks/CSV_Injection). That is at the beginning, and
// also after a semicolon, a tab or a line break: with a comma as the decimal sign,
// spreadsheets separate cells at semicolons, even inside quotes, and they may ignore quotes,
// spaces and marks in front of the sign. All external text in our CSV files must go through
// this function.
func EscapeFormula(text string) string {
	var b strings.Builder
	cell, done := 0, 0 // the start of the cell, -1 within one; and the length already written to b
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

// cell makes a text inert, and replaces characters other than printable ASCII by \u and
// their code.
func cell(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
		quoted := strconv.QuoteToASCII(text)
		text = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	return EscapeFormula(text)
}
