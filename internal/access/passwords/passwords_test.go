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
		{"one of the 10,000 commonest", "1qaz2wsx3edc", "first that are guessed"},
		{"a common one of the list with other digits", "Sunshine!8301", "first that are guessed"},
		{"one with signs for letters", "P@$$w0rd-77-", "first that are guessed"},
		{"one with 1 for l", "footba1l-77-88", "first that are guessed"},
		{"one with 1 for i", "sunsh1ne-77-88", "first that are guessed"},
		{"a common one as a part of more", "sunshine on the mill", ""},
		{"one key", "aaaaaaaaaaaaaa", "first that are guessed"},
		{"two keys", "abababababababab", "first that are guessed"},
		{"not text", "twelve chars\xff", "UTF-8"},
		{"nothing", "", "at least 12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Check(test.password, limits.StaffPassword, About{})
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

// Words that a guesser knows do not make a password, in whatever order, with digits, with signs
// between them, and with digits or signs for letters. With other words beside them they may.
func TestWordsThatAGuesserKnows(t *testing.T) {
	about := About{Clinic: "Lakeside Family Practice", Name: "Renée O'Haddad-Müller", Email: "r.haddad77@lakeside.example"}
	for password, refused := range map[string]bool{
		"Lakeside2026!":                   true,
		"lakesidefamily":                  true,
		"L4ke$1de-Pract1ce":               true,
		"2026 family lakeside":            true,
		"haddad.renee.1":                  true,
		"Müller1984!!":                    true,
		"mueller1984!!":                   true,
		"muller-1984-xyz":                 true,
		"Patient-Portal-1":                true,
		"p0stern p0rtal":                  true,
		"clinicclinicclinic":              true,
		"portal dragon 12":                true, // what is left is a common password
		"ClinicPassword1":                 true,
		"lakeside.example":                true,
		"a boat on the lakeside":          false,
		"haddad paper boat":               false,
		"the portal to summer":            false,
		"patience is a virtue":            false,
		"8301 7740 1192":                  false,
		"paper-boat-harbour":              false,
		"correct mill haddad under brook": false,
	} {
		err := Check(password, limits.PortalPassword, about)
		if errors.Is(err, ErrRefused) != refused {
			t.Errorf("%q: %v", password, err)
		}
	}
	for _, known := range []string{"lakeside.example", "haddad.renee.1"} {
		if err := Check(known, limits.PortalPassword, About{}); err != nil {
			t.Errorf("%q of someone else: %v", known, err)
		}
	}
}

// The 10,000 commonest are refused, each at least where it is long enough, and with digits behind
// it where it is not and is a word.
func TestTheCommonestAreRefused(t *testing.T) {
	n := 0
	for line := range strings.Lines(seclists) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if len(line) >= int(limits.PortalPassword) {
			if err := Check(line, limits.PortalPassword, About{}); !errors.Is(err, ErrRefused) {
				t.Errorf("%q is allowed", line)
			}
		} else if len(line) >= leastWord && strings.Trim(line, "abcdefghijklmnopqrstuvwxyz") == "" {
			if err := Check(line+"-20261130", limits.PortalPassword, About{}); !errors.Is(err, ErrRefused) {
				t.Errorf("%q is allowed with digits behind it", line)
			}
		}
	}
	if n < 10_000 {
		t.Errorf("only %d are listed", n)
	}
}

// A line that Check never comes to would only pretend.
func TestCommonPasswordsAreWrittenAsTheyAreLookedUp(t *testing.T) {
	for line := range strings.Lines(seclists + more) {
		line = strings.TrimSuffix(line, "\n")
		if line != strings.ToLower(strings.Join(strings.Fields(line), "")) || line == "" {
			t.Errorf("%q is not in lower case without spaces", line)
		}
	}
	if n := strings.Count(seclists+more, "\n"); n != len(common()) {
		t.Errorf("%d lines are %d passwords", n, len(common()))
	}
}
