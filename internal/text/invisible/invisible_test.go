package invisible

import (
	"testing"
	"unicode"
)

// All characters that Unicode defines as invisible are invisible, and no visible ones.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		drawn := unicode.Is(unicode.Prepended_Concatenation_Mark, r)
		want := !drawn && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
		if HasNoWidth(r) != want {
			t.Errorf("%s: has no width: %t", Name(r), HasNoWidth(r))
		}
		if unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp) && (!IsBlank(r) || HasNoWidth(r)) {
			t.Errorf("%s is a separator and not blank", Name(r))
		}
		if Is(r) && unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S, unicode.Mn) && !want && r != '\u2800' {
			t.Errorf("%s is not invisible", Name(r))
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ text, trimmed, removed string }{
		{"", "", ""},
		{"Ann", "Ann", "Ann"},
		{" \t\r\nAnn Lee\u00a0\u200b", "Ann Lee", " \t\r\nAnn Lee\u00a0"},
		{"\ufeff\u202aAnn\u202c\u00ad\u3000", "Ann", "Ann\u3000"},
		{"A\u00adnn\u200d\ufe0f\U000e0061", "A\u00adnn", "Ann"},
	} {
		if got := Trim(c.text); got != c.trimmed {
			t.Errorf("Trim(%q) = %q", c.text, got)
		}
		if got := RemoveWidthless(c.text); got != c.removed {
			t.Errorf("RemoveWidthless(%q) = %q", c.text, got)
		}
	}
}

func TestName(t *testing.T) {
	for r, want := range map[rune]string{
		'\u200b': "U+200B ZERO WIDTH SPACE", '\u00a0': "U+00A0 NO-BREAK SPACE", '\u0007': "U+0007", '\U000e0061': "U+E0061 TAG LATIN SMALL LETTER A",
	} {
		if got := Name(r); got != want {
			t.Errorf("Name(%U) = %q, want %q", r, got, want)
		}
	}
}
