package access

import (
	"crypto/rand"
	"math/big"
	"strings"
)

// A user name is what a portal user without an e-mail address signs in with. It is random, so it
// says nothing about the person, and it is no secret.
//
// User names and the codes of letters are read from paper. They have no vowels, so they form no
// words, and none of 0 and o, 1, i and l, 2 and z, 5 and s, 6 and b, 9, g and q, u and v that look
// alike, except one of each group.
const (
	readable = "bcdfghjkmnprtvwx3478"
	// userNameLength gives 2.6e10 names: a typed name is rarely that of another person.
	userNameLength = 8
	// codeSymbols gives the code of a letter log2(20)*16 = 69 bits. That is more than enough for
	// guesses at the sign-in, which are counted. It is less than the 112 bits that an unsalted
	// digest needs (ASVS 5.0.0, 6.5.2), so codes are hashed like passwords.
	codeSymbols = 16
	// groupLength is the length of the groups in which both are written.
	groupLength = 4
)

// newReadable returns n random symbols.
func newReadable(n int) string {
	text := make([]byte, n)
	for i := range text {
		k, _ := rand.Int(rand.Reader, big.NewInt(int64(len(readable)))) // never fails, see crypto/rand
		text[i] = readable[k.Int64()]
	}
	return string(text)
}

// inGroups writes symbols as people read them: kd4m-xr7p.
func inGroups(symbols string) string {
	var b strings.Builder
	for i, r := range symbols {
		if i > 0 && i%groupLength == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// readableSymbols returns the n symbols that were typed, in any case, with or without hyphens and
// spaces. It returns false for a text that is none of n symbols.
func readableSymbols(typed string, n int) (string, bool) {
	typed = strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(typed))
	return typed, len(typed) == n && strings.Trim(typed, readable) == ""
}

// signInName returns the form of a typed e-mail address or user name under which its failures are
// counted, and whether it is a user name. An e-mail address has an @, and a user name has none.
func signInName(typed string) (string, bool) {
	if name, is := readableSymbols(typed, userNameLength); is {
		return name, true
	}
	return typed, false
}
