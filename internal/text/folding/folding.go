// Package folding compares names the way people type them. It ignores case, accents,
// apostrophes, hyphens, no-break spaces and the width of letters, and it replaces letters
// that a keyboard lacks (ł, ø, ß, ı, đ, æ) by plain ones.
//
// Every search uses this package. A directory of a million names is searched through an
// index of the results of [Words], which the import stores beside each name, together
// with [Version]. Data in memory is searched with [Mentions].
//
// A text matches a name if each word of the text begins at a word of the name; it may
// continue over the following words. So Anne-Marie, Anne Marie and Annemarie are each
// found by "anne-marie", "anne marie", "annemarie" and "anne".
//
// All functions are safe for concurrent use and do no I/O.
package folding

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Version is the version of the folding rule. Raise it with every change of the results of
// [Words], and add a migration with an index that finds the stored words of older versions,
// so that they are made again.
const Version = 1

// longest is the number of bytes of a word that are used.
const longest = 60

// mostJoined is the number of words of a search that may be one word in a name.
const mostJoined = 3

// Words returns the strings to index for a name; a search matches their beginnings. For
// each word of the name, Words returns that word and all following words, joined without
// blanks, at most 60 bytes long. If letters of a name can be transcribed in two ways (ü as
// u and ue), it returns the words of both. The order is not defined, and none is empty.
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

// Query returns a search in Postgres's tsquery syntax, which finds names whose [Words] are
// stored as a tsvector. It is "" for a text without a letter.
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

// Mentions reports whether q matches a text like a name, or each word of q occurs within
// a word of the text. It is false for a q without a letter.
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

// choicesOf returns, for each word of a search, the alternatives of which one must be
// found: the word itself, and the word joined with its neighbours.
func choicesOf(q string) (choices [][]string) {
	var typed [][]string // the forms of each word
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

// appendNew appends a word if it is not in words yet.
func appendNew(words []string, word string) []string {
	if slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}

// cut shortens a word to at most longest bytes, at a character boundary.
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
