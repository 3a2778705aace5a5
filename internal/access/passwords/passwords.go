// Package passwords checks whether a password may be chosen. It does no I/O.
//
// It knows the commonest passwords (seclists.txt, whose licence is beside it, and more.txt) and
// what a guesser knows of a person and a clinic ([About]).
package passwords

import (
	_ "embed"
	"errors"
	"strings"
	"sync"
	"unicode/utf8"

	"postern/internal/limits"
	"postern/internal/text/language"
)

// ErrRefused is wrapped by every refusal of a new password.
var ErrRefused = errors.New("choose another password")

// Refuse makes a refusal of a new password. The sentence says why, and what to do.
func Refuse(sentence string) error {
	return refusal{language.NewError(language.Message{ID: sentence})}
}

// refusal is a sentence that wraps ErrRefused.
type refusal struct{ language.Localized }

func (refusal) Unwrap() error { return ErrRefused }

// ErrCurrent says that the password given as the current one is wrong.
var ErrCurrent = errors.New("this is not your current password")

//go:embed seclists.txt
var seclists string

//go:embed more.txt
var more string

// common is the list, read at the first use.
var common = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for _, list := range []string{seclists, more} {
		for line := range strings.Lines(list) {
			m[strings.TrimSuffix(line, "\n")] = true
		}
	}
	return m
})

// About is what a guesser knows of the owner of a password. Each field may be empty.
type About struct {
	Clinic string // the clinic's name
	Name   string // the person's name
	Email  string // the person's e-mail address
}

// Check refuses a password that is too short, too long or easy to guess. It requires no
// mixture of characters, see NIST SP 800-63B section 3.1.1.2.
func Check(password string, least limits.Characters, about About) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return Refuse("Choose another password: it is not text in UTF-8.")
	case n < int(least):
		return refusal{language.NewError(language.Message{One: "Choose another password: it needs at least {n} character.",
			ID: "Choose another password: it needs at least {n} characters.", N: int(least)})}
	case n > int(limits.Password):
		return refusal{language.NewError(language.Message{One: "Choose another password: it may have at most {n} character.",
			ID: "Choose another password: it may have at most {n} characters.", N: int(limits.Password)})}
	case isCommon(password), distinct(password) < 5:
		return Refuse("Choose another password: this one is among the first that are guessed.")
	case about.gives(password):
		return Refuse("Choose another password: this one is made of your name, your e-mail address, the name of the clinic or other words that are guessed first.")
	}
	return nil
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}
