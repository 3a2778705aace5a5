package folding

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/runenames"

	"postern/internal/text/invisible"
)

// forms returns a text as folded words, separated by one space: with plain letters, and, if
// that differs, with letters transcribed as Germans, Danes and others do without their own
// keyboard.
func forms(text string) []string {
	if isASCII(text) {
		return []string{foldASCII(text)}
	}
	plain, transcribed := fold(text, plainLetters), fold(transcriber.Replace(strings.ToLower(norm.NFC.String(text))), transcribedLetters)
	if plain == transcribed {
		return []string{plain}
	}
	return []string{plain, transcribed}
}

// transcriber replaces letters whose accent makes a different letter.
var transcriber = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "å", "aa")

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldASCII is a faster version of fold for ASCII.
func foldASCII(text string) string {
	folded := make([]byte, 0, len(text))
	blank := true
	for i := range len(text) {
		c := text[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case partsWords(rune(c)):
			if !blank {
				folded = append(folded, ' ')
			}
			blank = true
			continue
		}
		folded, blank = append(folded, c), false
	}
	return strings.TrimSuffix(string(folded), " ")
}

func fold(text string, letters map[rune]string) string {
	parted := strings.Map(func(r rune) rune {
		switch {
		case partsWords(r):
			return ' '
		case invisible.HasNoWidth(r):
			return -1
		}
		return r
	}, text)
	var folded strings.Builder
	for _, r := range norm.NFKD.String(parted) {
		switch {
		case isAccent(r):
		case partsWords(r):
			folded.WriteByte(' ') // NFKD may add separators, for example in a fraction
		default:
			folded.WriteRune(r)
		}
	}
	small := cases.Fold().String(folded.String())
	folded.Reset()
	for _, r := range small {
		if plain, ok := letters[r]; ok {
			folded.WriteString(plain)
		} else {
			folded.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(norm.NFC.String(folded.String())), " ")
}

// partsQuery reports whether a character separates the words of a search.
func partsQuery(r rune) bool {
	return invisible.IsBlank(r) || r == ',' || r == ';' || r == '،' || r == '、' || r == '，'
}

// partsWords reports whether a character separates words: a blank, a hyphen or a dash, a
// quotation mark, a bracket, or one of a few others.
func partsWords(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7F || strings.ContainsRune(`'"`+"`-.,;/()[]{}<>@", r)
	}
	return partsQuery(r) || unicode.In(r, unicode.Pd, unicode.Ps, unicode.Pe, unicode.Pi, unicode.Pf) || strings.ContainsRune(apostrophes+hyphens, r)
}

const (
	// apostrophes are characters that people use as apostrophes and that Unicode does not
	// class as quotation marks: standalone accents, primes, modifier letters, and
	// characters of other scripts.
	apostrophes = "\u00b4\u02b9\u02ba\u02bb\u02bc\u02bd\u02be\u02bf\u02c0\u02c1\u02c8\u02ca\u02cb\u02ee\u0294\u0295" +
		"\u0374\u0384\u055a\u05f3\u05f4\u07f4\u07f5\u1fbd\u1fbf\u1fef\u1ffd\u1ffe\u2032\u2033\u2034\u2035\u2036\u2037" +
		"\u275b\u275c\u275d\u275e\ua78b\ua78c\uff02\uff07\uff40"
	// hyphens are dots and lines inside a word that Unicode does not class as dashes.
	hyphens = "\u00b7\u0387\u02d7\u2022\u2027\u2043\u2212\u30fb\uff65\uff0e\u3002"
)

// marked holds the scripts whose letters are often written without their marks: accents,
// Hebrew points, Arabic vowels. In other scripts (Hindi, Thai) a mark is a vowel that is
// always written.
var marked = []*unicode.RangeTable{unicode.Inherited, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Hebrew, unicode.Arabic, unicode.Syriac}

func isAccent(r rune) bool {
	const tatweel, voiced, semiVoiced = '\u0640', '\u3099', '\u309a' // kana differ by the latter
	return r >= utf8.RuneSelf && (r == tatweel || unicode.In(r, unicode.Mn, unicode.Me) && unicode.In(r, marked...) && r != voiced && r != semiVoiced)
}

// special holds letters that neither decompose nor have a Unicode name with a plain letter.
// The values are the typed form, and a second form or "".
var special = map[rune][2]string{
	'æ': {"ae", ""}, 'œ': {"oe", ""}, 'ø': {"o", "oe"}, 'đ': {"d", "dj"}, 'ð': {"d", ""}, 'þ': {"th", ""},
	'ı': {"i", ""}, 'ȷ': {"j", ""}, 'ŋ': {"n", "ng"}, 'ĸ': {"k", "q"}, 'ə': {"e", "a"}, 'ǝ': {"e", "a"}, 'ɛ': {"e", ""}, 'ɔ': {"o", ""},
	'ʒ': {"z", ""}, 'ȝ': {"y", "g"}, 'ƿ': {"w", ""}, 'ƣ': {"g", "gh"}, 'ɣ': {"g", "gh"}, 'ɩ': {"i", ""}, 'ʊ': {"u", ""}, 'ʌ': {"v", ""}, 'ɑ': {"a", ""},
	'ɐ': {"a", ""}, 'ɵ': {"o", ""}, 'ʃ': {"s", "sh"}, 'ƨ': {"s", ""}, 'ƹ': {"z", ""}, 'ʀ': {"r", ""}, 'ɪ': {"i", ""}, 'ʏ': {"y", ""},
	'ꜳ': {"aa", ""}, 'ꜵ': {"ao", ""}, 'ꜷ': {"au", ""}, 'ꜹ': {"av", ""}, 'ꜽ': {"ay", ""}, 'ꝏ': {"oo", ""}, 'ȣ': {"ou", ""}, 'ƕ': {"hv", ""},
	'ȸ': {"db", ""}, 'ȹ': {"qp", ""}, 'ỻ': {"ll", ""}, 'ꝥ': {"th", ""}, 'ẟ': {"d", ""}, 'ᵫ': {"ue", ""}, 'ꭑ': {"y", ""}, 'ꟶ': {"h", ""},
	// Letters that Arabic and Persian keyboards write differently.
	'ى': {"ي", ""}, 'ی': {"ي", ""}, 'ې': {"ي", ""}, 'ک': {"ك", ""}, 'ڪ': {"ك", ""}, 'ة': {"ه", ""}, 'ہ': {"ه", ""}, 'ھ': {"ه", ""}, 'ە': {"ه", ""}, 'ٱ': {"ا", ""},
	'ґ': {"г", ""},
}

// plainLetters and transcribedLetters hold the replacements of lower case letters.
var plainLetters, transcribedLetters = letterTables()

// letterTables returns the special letters and all letters that Unicode names after a plain
// one: LATIN SMALL LETTER L WITH STROKE is typed as an l.
func letterTables() (plain, transcribed map[rune]string) {
	plain, transcribed = map[rune]string{}, map[rune]string{}
	const begins = "LATIN SMALL LETTER "
	for _, block := range unicode.Latin.R16 {
		for r := rune(block.Lo); r <= rune(block.Hi); r += rune(block.Stride) {
			name, ok := strings.CutPrefix(runenames.Name(r), begins)
			if letter, with, _ := strings.Cut(name, " "); ok && r >= utf8.RuneSelf && len(letter) == 1 && strings.HasPrefix(with, "WITH ") {
				plain[r] = strings.ToLower(letter)
			}
		}
	}
	for r, typed := range special {
		plain[r] = typed[0]
	}
	for r, letter := range plain {
		transcribed[r] = letter
		if second := special[r][1]; second != "" {
			transcribed[r] = second
		}
	}
	return plain, transcribed
}
