// Package invisible detects characters that a reader can't see: all kinds of blanks, and
// the characters that Unicode calls format characters or default-ignorable (soft hyphens,
// zero-width characters, marks of writing direction, variation selectors, tags). They are
// often copied with a value from a web page or a word processor.
//
// All functions are safe for concurrent use.
package invisible

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/runenames"
)

// ignorable covers all of Unicode's Default_Ignorable_Code_Point and all format
// characters (Cf). A few Arabic ones among them are visible, drawn around the digits that
// follow; Unicode calls them prepended concatenation marks.
var ignorable = []*unicode.RangeTable{
	unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point,
}

// HasNoWidth reports whether r has no width: a text looks the same without it. A blank has
// a width.
func HasNoWidth(r rune) bool {
	return r >= 0x80 && unicode.In(r, ignorable...) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// IsBlank reports whether r is a space, a tab, a line break or another character that is
// shown as empty space.
func IsBlank(r rune) bool {
	const brailleBlank = '\u2800'
	if r < 0x80 {
		return r == ' ' || '\t' <= r && r <= '\r'
	}
	return unicode.IsSpace(r) || unicode.In(r, unicode.Z) || r == brailleBlank
}

// Is reports whether r is blank or has no width.
func Is(r rune) bool { return IsBlank(r) || HasNoWidth(r) }

// Trim returns text without the invisible characters at either end.
func Trim(text string) string { return strings.TrimFunc(text, Is) }

// RemoveWidthless returns text without all characters that have no width.
func RemoveWidthless(text string) string {
	return strings.Map(func(r rune) rune {
		if HasNoWidth(r) {
			return -1
		}
		return r
	}, text)
}

// Name returns a character's number and Unicode name, for example "U+200B ZERO WIDTH
// SPACE".
func Name(r rune) string {
	name := runenames.Name(r)
	if name == "" || strings.HasPrefix(name, "<") {
		return fmt.Sprintf("U+%04X", r)
	}
	return fmt.Sprintf("U+%04X %s", r, name)
}
