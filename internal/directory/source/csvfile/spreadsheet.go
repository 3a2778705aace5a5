package csvfile

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

// Reading of CSV files as spreadsheet programs write them: with another separator, which
// a line sep= may name; in UTF-16; with a header in capitals; with empty cells around the
// table; with blanks around values.

// saveAsCSV is the advice for a file that can't be read.
const saveAsCSV = `in Excel, save it as "CSV UTF-8 (comma delimited)"`

// opened is a CSV file, positioned at the header line.
type opened struct {
	content   io.Reader // UTF-8
	separator rune
	skipped   int    // the number of lines before the header line that were removed
	refused   string // why the file can't be read as CSV, or ""
}

// peekSize is the number of bytes at the beginning of a file that show its encoding and
// separator.
const peekSize = 4 << 10

// openCSV finds the encoding and the separator of a file. If the header line is not within
// the first [peekSize] bytes, it uses a comma as the separator.
func openCSV(content io.Reader) (opened, error) {
	raw := bufio.NewReaderSize(content, peekSize)
	head, err := peek(raw)
	switch {
	case err != nil:
		return opened{}, err
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("\xD0\xCF\x11\xE0")):
		return opened{refused: "is an Excel workbook or another binary file, not CSV: " + saveAsCSV}, nil
	}
	text := raw
	// Names may be in any script, but the header line is in Latin letters.
	switch encoding := charset.Of(head[:min(len(head), 64)]); encoding {
	case charset.UTF16LE, charset.UTF16BE:
		text = bufio.NewReaderSize(encoding.NewReader(raw), peekSize)
		if head, err = peek(text); err != nil {
			return opened{}, err
		}
	default:
		// Invalid UTF-8 is found later, in its record, so that its line can be named.
		const mark = "\uFEFF"
		if trimmed := bytes.TrimPrefix(head, []byte(mark)); len(trimmed) < len(head) {
			head = trimmed
			_, _ = text.Discard(len(mark))
		}
	}
	if endsLinesByCR(head) {
		text = bufio.NewReaderSize(crToLF{text}, peekSize)
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

// separatorOf returns the separator in the first line that is not blank: a comma if there
// is one, or else the first other separator.
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

// separatorName returns the name of a separator for error messages.
func separatorName(separator rune) string {
	names := map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs", '|': "vertical bars", ' ': "blanks", ':': "colons"}
	if name := names[separator]; name != "" {
		return name
	}
	return fmt.Sprintf("the character %q", separator)
}

// endsLinesByCR reports whether lines end with CR alone, as in Excel's "CSV (Macintosh)".
func endsLinesByCR(head []byte) bool {
	at := bytes.IndexByte(head, '\r')
	return at >= 0 && at < len(head)-1 && !bytes.Contains(head, []byte("\n"))
}

// crToLF replaces each CR by LF.
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

// separatorLine is the line that tells Excel the separator.
var separatorLine = regexp.MustCompile(`^\s*(?i:"?sep=([,;:|\t ^~#])"?)[ \t]*(?:\r?\n|$)`)

// peek returns the beginning of a file, or all of it if it is shorter.
func peek(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(peekSize)
	if err == io.EOF {
		err = nil
	}
	return head, err
}

// trim removes blanks and zero-width characters around the values of a record, and
// reports whether all values are empty then.
func trim(record []string) (empty bool) {
	empty = true
	for i, value := range record {
		record[i] = invisible.Trim(value)
		empty = empty && record[i] == ""
	}
	return empty
}

// columnName returns the name of a column in this package's form: lower case, words
// joined by underscores.
func columnName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(invisible.RemoveWidthless(text)), func(r rune) bool {
		return invisible.IsBlank(r) || r == '_'
	})
	return strings.Join(words, "_")
}

// notUTF8 returns the index of the first value that is not UTF-8, or -1.
func notUTF8(record []string) int {
	return slices.IndexFunc(record, func(value string) bool { return !utf8.ValidString(value) })
}
