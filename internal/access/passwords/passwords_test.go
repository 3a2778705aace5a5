package passwords

import (
	"errors"
	"strings"
	"testing"

	"postern/internal/limits"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name, password string
		refused        string // part of the reason; "" accepted
	}{
		{"a sentence", "a brook runs under the mill", ""},
		{"exactly twelve", "Twelve!chars", ""},
		{"eleven", "Eleven!char", "at least 12"},
		{"characters, not bytes", "пароль дождь", ""},
		{"as long as it may be", strings.Repeat("abcdefgh", 16), ""},
		{"longer", strings.Repeat("abcdefgh", 16) + "i", "at most 128"},
		{"a common one", "password1234", "first that are guessed"},
		{"a common one with capitals and spaces", "Correct Horse Battery Staple", "first that are guessed"},
		{"one key", "aaaaaaaaaaaaaa", "first that are guessed"},
		{"two keys", "abababababababab", "first that are guessed"},
		{"not text", "twelve chars\xff", "UTF-8"},
		{"nothing", "", "at least 12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Check(test.password, limits.StaffPassword)
			if test.refused == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.refused != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("got %v, want it refused with %q", err, test.refused)
			}
			if err != nil && test.password != "" && strings.Contains(err.Error(), test.password) {
				t.Error("the error gives the password away")
			}
		})
	}
}

// A line that Check never comes to would only pretend.
func TestCommonPasswordsAreWrittenAsTheyAreLookedUp(t *testing.T) {
	for line := range strings.Lines(commonPasswords) {
		line = strings.TrimSuffix(line, "\n")
		if line != strings.ToLower(strings.Join(strings.Fields(line), "")) || line == "" {
			t.Errorf("%q is not in lower case without spaces", line)
		}
	}
	if len(common) < 200 {
		t.Errorf("only %d common passwords", len(common))
	}
}
