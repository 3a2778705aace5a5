package export

import "testing"

// What a spreadsheet would take for a formula is a text, and stays to be read.
func TestCells(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                     "",
		"staff:ada":            "staff:ada",
		"=1+1":                 "'=1+1",
		"+1":                   "'+1",
		"-1":                   "'-1",
		"@SUM(A1)":             "'@SUM(A1)",
		"  =1+1":               "'  =1+1",
		"\t=1+1":               `\t=1+1`,
		"\r=1+1":               `\r=1+1`,
		"\n=1+1":               `\n=1+1`,
		"\uff1d1+1":            `\uff1d1+1`, // the wide = that some take for the other
		"\ufeff=1":             `\ufeff=1`,
		"=HYPERLINK(\"x\")":    `'=HYPERLINK("x")`,
		"operator:j\u00fcrgen": `operator:j\u00fcrgen`,
		`a "b" \c`:             `a "b" \c`,
		"a\x00b":               `a\x00b`,
	} {
		if got := cell(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
