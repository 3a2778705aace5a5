package passwords

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/text/folding"
)

// leastWord is the fewest letters of a word that is looked for. Fewer are in too many passwords
// by chance; and if fewer are left of a password without the words, it is made of them.
const leastWord = 4

// context are words that anyone thinks of for the portal of a clinic.
var context = []string{"postern", "portal", "clinic", "patient", "patients", "doctor", "hospital", "health", "message", "messages", "staff"}

// likeness has the letters for which people write a digit or a sign.
var likeness = map[rune]string{
	'0': "o", '1': "il", '3': "e", '4': "a", '5': "s", '6': "g", '7': "t", '8': "b", '9': "g", '@': "a", '$': "s", '!': "il",
}

// isCommon reports whether a password is a common one, also with digits and signs around it, or in
// the place of letters.
func isCommon(password string) bool {
	plain := strings.ToLower(strings.Join(strings.Fields(password), ""))
	if common()[plain] {
		return true
	}
	core := strings.TrimFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) })
	if utf8.RuneCountInString(core) < leastWord {
		return false // digits, with hardly a word
	}
	for _, one := range []rune{'i', 'l'} {
		if common()[unlike(core, one)] {
			return true
		}
	}
	return common()[core]
}

// unlike puts letters in the place of the digits and signs that look like them; one is that for 1.
func unlike(text string, one rune) string {
	return strings.Map(func(r rune) rune {
		switch letters := likeness[r]; len(letters) {
		case 0:
			return r
		case 1:
			return rune(letters[0])
		}
		return one
	}, text)
}

// gives reports whether a password is made of words that a guesser knows: without them, digits and
// signs, hardly a letter is left, or a common password.
func (a About) gives(password string) bool {
	rest := []rune(strings.ToLower(password))
	rest = slices.DeleteFunc(rest, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && likeness[r] == ""
	})
	found := false
	for _, word := range a.words() {
		for at := find(rest, word); at >= 0; at = find(rest, word) {
			found = true
			// A digit keeps apart what is left before and after the word.
			rest = slices.Replace(rest, at, at+len(word), '0')
		}
	}
	left := strings.TrimFunc(string(rest), func(r rune) bool { return !unicode.IsLetter(r) })
	letters := 0
	for _, r := range left {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	return found && (letters < leastWord || common()[left])
}

// words are the words that a guesser knows, the longest first.
func (a About) words() [][]rune {
	var all [][]rune
	add := func(word string) {
		if runes := []rune(strings.ToLower(word)); len(runes) >= leastWord {
			all = append(all, runes)
		}
	}
	for _, text := range slices.Concat(context, []string{a.Clinic, a.Name, a.Email}) {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }) {
			add(word)
		}
	}
	for _, text := range []string{a.Clinic, a.Name} {
		for _, word := range folding.Words(text) { // without accents, as on other keyboards
			add(word)
		}
	}
	slices.SortStableFunc(all, func(x, y []rune) int { return len(y) - len(x) })
	return all
}

// find returns where a word is in a text, also with digits and signs for letters, or -1.
func find(text, word []rune) int {
	for at := range max(0, len(text)-len(word)+1) {
		if like(text[at:at+len(word)], word) {
			return at
		}
	}
	return -1
}

func like(text, word []rune) bool {
	for i, r := range word {
		if text[i] != r && !strings.ContainsRune(likeness[text[i]], r) {
			return false
		}
	}
	return true
}
