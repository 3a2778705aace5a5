package csvfile

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/directory/field"
	"postern/internal/limits"
	"postern/internal/text/invisible"
)

// Checks of fields. Each returns the reason why a value is refused, or "".

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

// parseDate reads YYYY-MM-DD, and "" as none.
func parseDate(text string) (d field.Date, reason string) {
	if text == "" {
		return field.Date{}, ""
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 {
		return field.Date{}, "is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd"
	}
	return field.DateOf(t), ""
}

// boolWords are the words for true and false that spreadsheets and people write, in lower
// case.
var boolWords = map[string]bool{
	"true": true, "yes": true, "t": true, "y": true, "1": true,
	"false": false, "no": false, "f": false, "n": false, "0": false,
}

// foreignBoolWords are words that a spreadsheet in another language writes. The error
// message quotes them; any other value may be personal data and is not quoted.
var foreignBoolWords = []string{
	"wahr", "falsch", "ja", "nein", "vrai", "faux", "oui", "non", "verdadero", "falso", "sí", "si", "vero",
	"verdadeiro", "sim", "não", "waar", "onwaar", "nee", "sant", "falskt", "nej", "sand", "falsk", "sann", "usann", "nei",
	"tosi", "epätosi", "kyllä", "ei", "prawda", "fałsz", "tak", "nie", "pravda", "nepravda", "ano", "igaz", "hamis", "igen", "nem",
	"doğru", "yanlış", "evet", "hayır", "истина", "ложь", "да", "нет", "adevărat", "fals", "nu",
}

// parseBool reads true and false, and the other words in boolWords.
func parseBool(text string) (value bool, reason string) {
	small := strings.ToLower(text)
	value, known := boolWords[small]
	switch {
	case known:
		return value, ""
	case slices.Contains(foreignBoolWords, small):
		return false, "must be true or false, or yes or no: " + text + " can't be used"
	}
	return false, "must be true or false, or yes or no"
}
