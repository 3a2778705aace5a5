package directory

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/internal/text/charset"
	"postern/internal/text/invisible"
)

// What spreadsheet programs make of a CSV file, and how it is read all the same:
// with another separator, which a line sep= may name; in UTF-16; with a header in
// capitals; with empty cells around the table; with blanks around values.

// saveAsCSV is what to do about a file that can't be read.
const saveAsCSV = `in Excel, save it as "CSV UTF-8 (comma delimited)"`

// opened is a CSV file of which the header line is next.
type opened struct {
	content   io.Reader // UTF-8
	separator rune
	skipped   int    // lines before the header line that were taken away
	refused   string // why the file can't be read as CSV at all, or ""
}

// peeked is how many bytes at the beginning of a file tell how it was written.
const peeked = 4 << 10

// openCSV finds out how a file was written. It needs the header line to be among the
// first [peeked] bytes, or takes the separator to be a comma.
func openCSV(content io.Reader) (opened, error) {
	raw := bufio.NewReaderSize(content, peeked)
	head, err := peek(raw)
	switch {
	case err != nil:
		return opened{}, err
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("\xD0\xCF\x11\xE0")):
		return opened{refused: "is an Excel workbook or another file of several parts, and not CSV: " + saveAsCSV}, nil
	}
	text := raw
	// Whatever the letters of the names, those of the header line are Latin.
	switch encoding := charset.Of(head[:min(len(head), 64)]); encoding {
	case charset.UTF16LE, charset.UTF16BE:
		text = bufio.NewReaderSize(encoding.NewReader(raw), peeked)
		if head, err = peek(text); err != nil {
			return opened{}, err
		}
	default:
		// What is not UTF-8 is found where it stands, so that its line can be named.
		const mark = "\uFEFF"
		if trimmed := bytes.TrimPrefix(head, []byte(mark)); len(trimmed) < len(head) {
			head = trimmed
			_, _ = text.Discard(len(mark))
		}
	}
	if endsLinesByCR(head) {
		text = bufio.NewReaderSize(crToLF{text}, peeked)
		if head, err = peek(text); err != nil {
			return opened{}, err
		}
	}
	file := opened{content: text, separator: separatorOf(head)}
	if line := separatorLine.FindSubmatch(head); line != nil {
		file.separator, _ = utf8.DecodeRune(line[1])
		file.skipped = bytes.Count(line[0], []byte("\n"))
		_, err := text.Discard(len(line[0]))
		return file, err
	}
	return file, nil
}

// separatorOf gives the separator that the first line with anything in it has: a comma,
// or else the first of the others.
func separatorOf(head []byte) rune {
	line, quoted := head, false
	for i, c := range head {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted && len(bytes.Trim(head[:i], " \r\n")) > 0 {
			line = head[:i]
			break
		}
	}
	if i := bytes.IndexAny(line, ",;\t|"); i >= 0 && !bytes.ContainsRune(line, ',') {
		return rune(line[i])
	}
	return ','
}

// separatorName names a separator for people.
func separatorName(separator rune) string {
	names := map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs", '|': "vertical bars", ' ': "blanks", ':': "colons"}
	if name := names[separator]; name != "" {
		return name
	}
	return fmt.Sprintf("the character %q", separator)
}

// endsLinesByCR says whether a text ends its lines as Excel's "CSV (Macintosh)" does.
func endsLinesByCR(head []byte) bool {
	at := bytes.IndexByte(head, '\r')
	return at >= 0 && at < len(head)-1 && !bytes.Contains(head, []byte("\n"))
}

// crToLF reads a text of such lines.
type crToLF struct{ text io.Reader }

func (r crToLF) Read(p []byte) (int, error) {
	n, err := r.text.Read(p)
	for i, c := range p[:n] {
		if c == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// separatorLine is the line by which Excel learns of a separator.
var separatorLine = regexp.MustCompile(`^\s*(?i:"?sep=([,;:|\t ^~#])"?)[ \t]*(?:\r?\n|$)`)

// peek gives the beginning of what r reads, or all of it.
func peek(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(peeked)
	if err == io.EOF {
		err = nil
	}
	return head, err
}

// trim takes the blanks and the characters without a width from around the values of
// a record, and says whether that leaves nothing.
func trim(record []string) (empty bool) {
	empty = true
	for i, value := range record {
		record[i] = invisible.Trim(value)
		empty = empty && record[i] == ""
	}
	return empty
}

// columnName gives the name of a column as this package writes it: in small letters,
// its words joined by underscores.
func columnName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(invisible.RemoveWidthless(text)), func(r rune) bool {
		return invisible.IsBlank(r) || r == '_'
	})
	return strings.Join(words, "_")
}

// notUTF8 finds the first value that is not UTF-8; -1 is none.
func notUTF8(record []string) int {
	return slices.IndexFunc(record, func(value string) bool { return !utf8.ValidString(value) })
}

// truths are the words for true and false that spreadsheets and people write, in
// small letters.
var truths = map[string]bool{
	"true": true, "yes": true, "t": true, "y": true, "1": true,
	"false": false, "no": false, "f": false, "n": false, "0": false,
}

// foreignTruths are words that a spreadsheet in another language writes. They are
// named where they are refused; any other value may be a person's data.
var foreignTruths = []string{
	"wahr", "falsch", "ja", "nein", "vrai", "faux", "oui", "non", "verdadero", "falso", "sí", "si", "vero",
	"verdadeiro", "sim", "não", "waar", "onwaar", "nee", "sant", "falskt", "nej", "sand", "falsk", "sann", "usann", "nei",
	"tosi", "epätosi", "kyllä", "ei", "prawda", "fałsz", "tak", "nie", "pravda", "nepravda", "ano", "igaz", "hamis", "igen", "nem",
	"doğru", "yanlış", "evet", "hayır", "истина", "ложь", "да", "нет", "adevărat", "fals", "nu",
}

// parseBool reads true and false, and what spreadsheets and people write for them.
func parseBool(text string) (value bool, reason string) {
	small := strings.ToLower(text)
	value, known := truths[small]
	switch {
	case known:
		return value, ""
	case slices.Contains(foreignTruths, small):
		return false, "must be true or false, or yes or no: " + text + " is not understood"
	}
	return false, "must be true or false, or yes or no"
}
