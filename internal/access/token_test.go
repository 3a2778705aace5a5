package access

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTokensAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var secret [secretBytes]byte
		copy(secret[:], rapid.SliceOfN(rapid.Byte(), secretBytes, secretBytes).Draw(t, "secret"))
		token := formatToken(staffTokenPrefix, secret)
		digest, ok := parseToken(staffTokenPrefix, token)
		if !ok || !bytes.Equal(digest, digestOf(secret[:])) {
			t.Fatalf("%s was not read back", token)
		}
		if _, ok := parseToken(portalLinkPrefix, token); ok {
			t.Fatal("it also opens something else")
		}
	})
}

// A mistyped or truncated token is refused without a query.
func TestAWrongLetterIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, _ := newToken(staffTokenPrefix)
		at := rapid.IntRange(len(staffTokenPrefix), len(token)-1).Draw(t, "at")
		letter := rapid.SampledFrom([]byte("abcdefghijklmnopqrstuvwxyz234567")).Draw(t, "letter")
		wrong := token[:at] + string(letter) + token[at+1:]
		if _, ok := parseToken(staffTokenPrefix, wrong); ok && wrong != token {
			t.Fatalf("%s passes for %s", wrong, token)
		}
		if _, ok := parseToken(staffTokenPrefix, token[:at]); ok {
			t.Fatalf("%s passes", token[:at])
		}
	})
}

func FuzzParseToken(f *testing.F) {
	token, _ := newToken(staffTokenPrefix)
	for _, seed := range []string{token, "", "pst_", strings.ToUpper(token), token[:30] + "\n" + token[31:], token + "a", "pst_" + strings.Repeat("a", 56)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		digest, ok := parseToken(staffTokenPrefix, text)
		if !ok {
			return
		}
		raw, err := letters.DecodeString(strings.TrimPrefix(text, staffTokenPrefix))
		if err != nil {
			t.Fatal(err)
		}
		if secret := [secretBytes]byte(raw[:secretBytes]); formatToken(staffTokenPrefix, secret) != text || !bytes.Equal(digest, digestOf(secret[:])) {
			t.Errorf("%q is a second way to write a token", text)
		}
	})
}
