// Package factor describes the second factors of an account, as pages show them. Package
// access sets them up and checks them.
//
// The package does no I/O.
package factor

import (
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
)

// A Kind is a kind of second factor, as recorded.
type Kind = events.FactorKind

// The kinds.
const (
	App     = events.FactorApp
	Passkey = events.FactorPasskey
)

// Factor is a second factor in force.
type Factor struct {
	ID      uuid.UUID
	Kind    Kind
	Name    string // of a passkey, as its owner typed it
	AddedAt time.Time
	UsedAt  *time.Time // when a passkey was last used; nil: never
	// Elsewhere is the host at which a passkey works, if that is no longer this one.
	Elsewhere string
}

// Factors are the second factors of an account.
type Factors struct {
	All      []Factor // in the order in which they were added
	Recovery int      // number of unused recovery codes
	// Required is set if the account must have one: the last can't be removed.
	Required bool
	// Passkeys is set if passkeys can be added, and used, at the address of the request.
	Passkeys bool
}

// HasApp reports whether an authenticator app is among them.
func (f Factors) HasApp() bool {
	for _, one := range f.All {
		if one.Kind == App {
			return true
		}
	}
	return false
}

// Removable reports whether one of them can be removed.
func (f Factors) Removable() bool { return !f.Required || len(f.All) > 1 }

// Names returns kinds in words: "an authenticator app", "passkeys".
func Names(kinds []Kind) []string {
	var names []string
	for _, k := range kinds {
		names = append(names, map[Kind]string{App: "an authenticator app", Passkey: "passkeys"}[k])
	}
	return names
}
