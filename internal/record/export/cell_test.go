package export

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A text that a spreadsheet would read as a formula becomes inert, and stays readable.
func TestInert(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                    "",
		"staff:ada":           "staff:ada",
		"Jürgen-Maria":        "Jürgen-Maria",
		"=1+1":                "'=1+1",
		"+1":                  "'+1",
		"-1":                  "'-1",
		"@SUM(A1)":            "'@SUM(A1)",
		"  =1+1":              "'  =1+1",
		"\t=1+1":              "\t'=1+1",
		"\r\n=1+1":            "\r\n'=1+1",
		"\u00a0=1+1":          "'\u00a0=1+1",
		"\ufeff=1":            "'\ufeff=1",
		"\uff1d1+1":           "'\uff1d1+1", // a fullwidth =, which some programs read as =
		"550 no;=cmd|' /C x'": "550 no;'=cmd|' /C x'",
		"a; -b;c":             "a;' -b;c",
		`"=1"`:                `'"=1"`,
		"=\xff":               "'=\xff",
	} {
		if got := EscapeFormula(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// In the record's CSV file a text is ASCII too.
func TestCells(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"=HYPERLINK(\"x\")":    `'=HYPERLINK("x")`,
		"\t=1+1":               `\t=1+1`,
		"\uff1d1+1":            `\uff1d1+1`,
		"operator:j\u00fcrgen": `operator:j\u00fcrgen`,
		`a "b" \c`:             `a "b" \c`,
		"a\x00b":               `a\x00b`,
	} {
		if got := cell(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// No cell begins like a formula, whether a file is split at commas as in RFC 4180 or at any
// other separator that a spreadsheet may use.
func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	hostile := rapid.StringOf(rapid.SampledFrom([]rune("=+-@;,\"'\t\r\n ax\ufeff\uff1d")))
	rapid.Check(t, func(rt *rapid.T) {
		row := []string{EscapeFormula(hostile.Draw(rt, "first")), EscapeFormula(hostile.Draw(rt, "second"))}
		var file bytes.Buffer
		w := csv.NewWriter(&file)
		w.UseCRLF = true
		if err := w.Write(row); err != nil {
			rt.Fatal(err)
		}
		w.Flush()
		cells := strings.FieldsFunc(file.String(), func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) })
		read, err := csv.NewReader(&file).ReadAll()
		if err != nil {
			rt.Fatal(err)
		}
		plain := func(text string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(text) }
		for i, text := range row {
			if len(read) > 0 && plain(read[0][i]) != plain(text) {
				rt.Fatal(cmp.Diff(text, read[0][i]))
			}
		}
		for _, cell := range append(cells, row...) {
			if begin := strings.TrimLeft(cell, "\" \u00a0\ufeff"); begin != "" && strings.ContainsRune("=+-@\uff1d", []rune(begin)[0]) {
				rt.Fatalf("%q has the cell %q", file.String(), cell)
			}
		}
	})
}
