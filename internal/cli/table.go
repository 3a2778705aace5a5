package cli

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// table writes lines whose cells are separated by tabs as columns of equal width. It is a writer:
// Flush writes the table. Unlike text/tabwriter it knows that a terminal shows East Asian letters
// in two columns and combining marks in none.
type table struct {
	out  io.Writer
	text strings.Builder
}

func newTable(out io.Writer) *table { return &table{out: out} }

// Write implements io.Writer.
func (t *table) Write(b []byte) (int, error) { return t.text.Write(b) }

// Flush writes the table.
func (t *table) Flush() error {
	var rows [][]string
	var widths []int
	for line := range strings.Lines(t.text.String()) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		rows = append(rows, cells)
		for i, cell := range cells[:len(cells)-1] { // nothing follows the last
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, cells := range rows {
		for i, cell := range cells {
			b.WriteString(cell)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-columns(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// columns returns how many columns of a terminal a text takes.
func columns(text string) (n int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
