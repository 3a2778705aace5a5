package folding

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/runenames"
	"pgregory.net/rapid"
)

// Each text finds its name, and no other name in the map.
var names = map[string][]string{
	"Łukasz Żak":              {"lukasz zak", "zak lukasz", "Łukasz", "ŻAK", "łuk", "zak, lukasz", "lukasz\u00a0zak", "lukaszzak"},
	"Søren Ærø":               {"soren aero", "søren ærø", "soeren", "SØREN", "aeroe", "ærø"},
	"Jürgen Straße":           {"strasse", "STRASSE", "straße", "STRAẞE", "jurgen", "juergen", "jürgen", "ju\u0308rgen"},
	"Elif Yılmaz":             {"yilmaz", "YILMAZ", "yılmaz", "Yİlmaz"},
	"İpek Işık":               {"ipek isik", "İPEK", "ısık", "IŞIK"},
	"Đorđe Pavlić":            {"dorde", "djordje", "Đorđe", "pavlic", "ĐORĐE PAVLIĆ"},
	"Þóra Guðmundsdóttir":     {"thora", "gudmundsdottir", "þora guð"},
	"Ħamrun Ŧor Ŋuyen":        {"hamrun tor nuyen", "nguyen"},
	"Siobhán O’Hara":          {"o'hara", "o’hara", "ohara", "o hara", "hara", "O`HARA", "o´hara", "oʼhara", "o′hara", "siobhan ohara"},
	"Anne-Marie Bérubé":       {"anne-marie", "anne marie", "annemarie", "anne‑marie", "anne–marie", "anne\u00admarie", "marie berube", "berube anne"},
	"Rosemary Vanderberg":     {"rose-mary", "rose mary", "van der berg", "vander berg", "van-der-berg"},
	"Jan\u00a0de\u202fWit":    {"jan de wit", "dewit", "de-wit", "wit jan", "jan\u2007wit"},
	"ＪＯＨＮ Ｓｍｉｔｈ":              {"john smith", "ｓｍｉｔｈ"},
	"Oﬃcer Ǆuro":              {"officer", "dzuro"},
	"François Cœur":           {"francois coeur", "cœur", "franc\u0327ois"},
	"Marcel·lí Aŀlot":         {"marcelli", "marcel·li", "allot"},
	"Иван Ёлкин":              {"елкин", "ёлкин", "ИВАН ЕЛКИН"},
	"Νίκος Παπαδόπουλος":      {"νικος", "ΝΊΚΟΣ", "παπαδοπουλος"},
	"أحمد الـحُسَيْن":         {"احمد", "الحسين", "أحمد"},
	"علی کریمی":               {"علي كريمي", "علی"},
	"דָּוִד בֶּן־גּוּרִיּוֹן": {"דוד", "בן גוריון", "בן־גוריון"},
	"प्रिया शर्मा":            {"प्रि", "शर्मा"},
	"김철수":                     {"김철수", "김"},
	"李 小龍":                    {"李", "小龍", "李小龍"},
	"がくと かくと":                 {"がくと"},
}

func TestNamesAsPeopleTypeThem(t *testing.T) {
	for name, typed := range names {
		for _, q := range typed {
			for other := range names {
				if got := Mentions(other, q); got != (other == name) {
					t.Errorf("%q finds %q: %t", q, other, got)
				}
			}
		}
	}
	if Mentions("かくと", "がくと") {
		t.Error("a voiced kana matched the unvoiced one")
	}
	for _, nothing := range []string{"", " ", "'", "-", "\u200b", ",;"} {
		if Mentions("Ann", nothing) || Query(nothing) != "" {
			t.Errorf("%q finds something", nothing)
		}
	}
}

// Every lower case letter that Unicode names after a plain Latin letter is found by that
// letter, and finds it.
func TestEveryLatinLetter(t *testing.T) {
	n := 0
	for r := rune(0x80); r < 0x10000; r++ {
		name, ok := strings.CutPrefix(runenames.Name(r), "LATIN SMALL LETTER ")
		letter, with, _ := strings.Cut(name, " ")
		if !ok || len(letter) != 1 || !strings.HasPrefix(with, "WITH ") {
			continue
		}
		n++
		plain := "x" + strings.ToLower(letter) + "x"
		for _, written := range []string{"X" + string(r) + "X", "x" + string(unicode.ToUpper(r)) + "x", norm.NFD.String("x" + string(r) + "x")} {
			if !Mentions(written, plain) || !Mentions(plain, written) {
				t.Errorf("%q and %q: %q, %q", written, plain, Words(written), Words(plain))
			}
		}
	}
	if n < 350 {
		t.Errorf("only %d letters", n)
	}
}

// Every character used as an apostrophe or a hyphen separates words of a name, and the name
// is also found without it.
func TestEveryApostropheAndHyphen(t *testing.T) {
	marks := []rune("'`-‐‑‒–—―−«»‹›‘’‚‛“”„‟" + apostrophes + hyphens)
	for r := rune(0); r < unicode.MaxRune; r++ {
		if unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Zs, r) {
			marks = append(marks, r)
		}
	}
	for _, r := range marks {
		name := "Dara O" + string(r) + "Brien"
		for _, q := range []string{"obrien", "o'brien", "o brien", "brien dara", "O" + string(r) + "Brien"} {
			if !Mentions(name, q) || !Mentions("Dara OBrien", "o"+string(r)+"brien") {
				t.Errorf("%U: %q does not find %q", r, q, name)
			}
		}
	}
}

// The fast path for ASCII has the same results.
func TestFoldASCIIEqualsFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~\t\n\x00]{0,30}`).Draw(t, "text")
		if fast, slow := foldASCII(text), fold(text, plainLetters); fast != slow {
			t.Fatalf("%q: %q and %q", text, fast, slow)
		}
	})
}

// A name is found by itself, by each of its words, in capitals, composed and decomposed.
// Its words can be stored in the index.
func TestANameFindsItself(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom(nil, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew, unicode.Han, unicode.Hangul), 1, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(word, 1, 4).Draw(t, "words")
		name := strings.Join(words, rapid.SampledFrom([]string{" ", "-", "\u00a0", "’"}).Draw(t, "between"))
		for _, q := range []string{name, norm.NFD.String(name), norm.NFC.String(name), strings.ToUpper(name), words[0], words[len(words)-1] + " " + words[0]} {
			if len(choicesOf(q)) > 0 && !Mentions(name, q) {
				t.Fatalf("%q does not find %q: %q in %q", q, name, choicesOf(q), Words(name))
			}
		}
		for _, w := range Words(name) {
			if w == "" || len(w) > longest || strings.ContainsAny(w, " \x00") {
				t.Fatalf("%q gives the word %q", name, w)
			}
		}
	})
}
