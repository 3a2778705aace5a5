package attachment

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, c := range []struct{ name, given, want string }{
		{"ordinary", "Lab report 2026-03.pdf", "Lab report 2026-03.pdf"},
		{"other scripts", "Ärztebericht – 検査結果 – نتائج.pdf", "Ärztebericht – 検査結果 – نتائج.pdf"},
		{"Unix path", "/etc/../home/ann/report.pdf", "report.pdf"},
		{"Windows path", `C:\Users\ann\report.pdf`, "report.pdf"},
		{"mixed path", `..\../a\b/report.pdf`, "report.pdf"},
		{"drive alone", "C:report.pdf", "report.pdf"},
		{"stream of a file", "report.pdf:evil.exe", "report.pdf_evil.exe"},
		{"header injection", "a\r\nSet-Cookie: x=1.pdf", "a Set-Cookie_ x=1.pdf"},
		{"zero byte", "report.exe\x00.pdf", "report.exe.pdf"},
		{"turned round", "annex\u202efdp.exe", "annexfdp.exe"},
		{"isolates and marks", "\u2066a\u2069\u200e\u200f\u061c\ufeff.pdf", "a.pdf"},
		{"joiners stay", "می\u200cخواهم.pdf", "می\u200cخواهم.pdf"},
		{"only joiners", "\u200d\u200c", "document"},
		{"hidden", "...bashrc", "bashrc"},
		{"dots and spaces at the end", "report.pdf. . ", "report.pdf"},
		{"spaces of all kinds", "\u00a0a \t\u3000b\u2028c.pdf", "a b c.pdf"},
		{"quotes", `"a"<b>|c?*.pdf`, "_a__b__c__.pdf"},
		{"device", "con", "_con"},
		{"device with extension", "NUL.tar.pdf", "_NUL.tar.pdf"},
		{"device with spaces", "aux .pdf", "_aux .pdf"},
		{"port", "COM¹.txt", "_COM¹.txt"},
		{"no port", "COM10.txt", "COM10.txt"},
		{"no device", "console.txt", "console.txt"},
		{"broken UTF-8", "r\xff\xfesum\xe9.pdf", "r_sum_.pdf"},
		{"empty", "", "document"},
		{"only a path", "a/b/", "document"},
		{"only dots", " .. . ", "document"},
		{"long", long + ".pdf", strings.Repeat("é", 125) + ".pdf"},
		{"long, cut at a dot", strings.Repeat("a", 250) + "....." + strings.Repeat("b", 20) + ".pdf", strings.Repeat("a", 250) + ".pdf"},
		{"long extension", "a." + long, "a." + strings.Repeat("é", 126)},
	} {
		if got := CleanName(c.given); got != c.want {
			t.Errorf("%s: %q became %q, want %q", c.name, c.given, got, c.want)
		}
	}
}

func TestNameEndsAsItsType(t *testing.T) {
	pdf, jpeg := allowed[0], allowed[2]
	for _, c := range []struct {
		kind        kind
		given, want string
	}{
		{pdf, "report.pdf", "report.pdf"},
		{pdf, "REPORT.PDF", "REPORT.PDF"},
		{jpeg, "scan.jpeg", "scan.jpeg"},
		{pdf, "report", "report.pdf"},
		{pdf, "report.exe", "report.exe.pdf"},
		{pdf, "Dr. Ann Lee", "Dr. Ann Lee.pdf"},
		{pdf, "", "document.pdf"},
		{plainText, "run.js", "run.js.txt"},
		{pdf, strings.Repeat("a", 300), strings.Repeat("a", 251) + ".pdf"},
	} {
		if got := c.kind.nameFor(c.given); got != c.want {
			t.Errorf("%s, %q became %q, want %q", c.kind.label, c.given, got, c.want)
		}
	}
}

// checkClean checks a cleaned name for everything that CleanName guarantees.
func checkClean(t interface{ Errorf(string, ...any) }, given string) {
	name := CleanName(given)
	if again := CleanName(name); again != name {
		t.Errorf("%q became %q and then %q", given, name, again)
	}
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		t.Errorf("%q became %q", given, name)
	}
	if strings.ContainsAny(name, "/\\\"<>:|?*\r\n") || strings.Trim(name, ". ") != name || isReserved(name) {
		t.Errorf("%q became %q", given, name)
	}
	for _, r := range name {
		if unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) {
			t.Errorf("%q became %q", given, name)
		}
	}
	for _, k := range allowed {
		if full := k.nameFor(given); !hasExtension(full, k.extensions) || CleanName(full) != full {
			t.Errorf("%q as %s became %q", given, k.label, full)
		}
	}
}

func TestCleanNamesStayAsTheyAre(t *testing.T) {
	odd := rapid.SampledFrom([]rune("aé./\\: \u202e\u200dcCoOnN\x00\t検"))
	rapid.Check(t, func(t *rapid.T) {
		checkClean(t, rapid.OneOf(rapid.String(), rapid.StringOfN(odd, 0, 400, -1)).Draw(t, "name"))
	})
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"report.pdf", `C:\a\..\b.`, "CON.txt", "a\u202eb", "\xff", strings.Repeat("é.", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) { checkClean(t, name) })
}
