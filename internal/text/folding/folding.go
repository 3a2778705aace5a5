// Package folding makes names comparable as people type them: without regard to
// case, accents, apostrophes, hyphens, no-break spaces and the width of letters, and
// with plain letters in place of those that a keyboard lacks (ł, ø, ß, ı, đ, æ).
//
// It is the one rule for every search. A directory of a million is searched by an
// index of what [Words] gives, which the import stores beside each name, together with
// [Version]. What is held in memory is searched by [Mentions].
//
// A name is found by a text if each word of the text begins at a word of the name
// and goes on through those that follow. So Anne-Marie, Anne Marie and Annemarie are
// each found by "anne-marie", "anne marie", "annemarie" and "anne".
//
// All functions are safe for concurrent use and do no I/O.
package folding

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Version is that of the rule. A change of what [Words] gives raises it, and comes with
// a migration by which stored words of older versions are found and made anew.
const Version = 1

// longest is how many bytes of a word count.
const longest = 60

// mostJoined is how many words of a search may be one word of a name.
const mostJoined = 3

// Words gives what a name is found by the beginnings of: for each of its words, that
// word and all that follow, joined without blanks, each at most 60 bytes long and
// without a blank in it. A name with letters that are transcribed in two ways (ü as u
// and ue) gives the words of both. They are in no particular order, and none is
// empty.
func Words(name string) (words []string) {
	for _, form := range forms(name) {
		joined := strings.ReplaceAll(form, " ", "")
		for form != "" {
			words = appendNew(words, cut(joined))
			word, rest, _ := strings.Cut(form, " ")
			joined, form = joined[len(word):], rest
		}
	}
	return words
}

// Query gives a text in Postgres's tsquery syntax, which finds the names whose
// [Words] are stored as a tsvector. It is "" for a text without a letter.
func Query(text string) string {
	var query strings.Builder
	for i, choices := range choicesOf(text) {
		if i > 0 {
			query.WriteString(" & ")
		}
		query.WriteByte('(')
		for j, word := range choices {
			if j > 0 {
				query.WriteString(" | ")
			}
			query.WriteString("'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(word) + "':*")
		}
		query.WriteByte(')')
	}
	return query.String()
}

// Mentions says whether a text is found by q, as names are, or holds each word of q
// within one of its own. It is false for a q without a letter.
func Mentions(text, q string) bool {
	choices := choicesOf(q)
	if len(choices) == 0 {
		return false
	}
	words := Words(text)
	var parts []string
	for _, form := range forms(text) {
		parts = append(parts, strings.Fields(form)...)
	}
	for _, any := range choices {
		if !slices.ContainsFunc(any, func(wanted string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, wanted) }) ||
				slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(p, wanted) })
		}) {
			return false
		}
	}
	return true
}

// choicesOf gives for each word of what was typed the words of which one must be
// found: itself, and joined with its neighbours.
func choicesOf(q string) (choices [][]string) {
	var typed [][]string // of each word, its forms
	for _, token := range strings.FieldsFunc(q, partsQuery) {
		var joined []string
		for _, form := range forms(token) {
			joined = appendNew(joined, strings.ReplaceAll(form, " ", ""))
		}
		if joined[0] != "" {
			typed = append(typed, joined)
		}
	}
	choices = make([][]string, len(typed))
	for from := range typed {
		for to := from + 1; to <= min(from+mostJoined, len(typed)); to++ {
			plain, transcribed := "", ""
			for _, word := range typed[from:to] {
				plain, transcribed = plain+word[0], transcribed+word[len(word)-1]
			}
			for i := from; i < to; i++ {
				choices[i] = appendNew(appendNew(choices[i], cut(plain)), cut(transcribed))
			}
		}
	}
	return choices
}

// appendNew appends a word that is not there yet.
func appendNew(words []string, word string) []string {
	if slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}

// cut shortens a word to the bytes that count, between two characters.
func cut(word string) string {
	if len(word) <= longest {
		return word
	}
	end := longest
	for !utf8.RuneStart(word[end]) {
		end--
	}
	return word[:end]
}
