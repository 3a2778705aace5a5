// Package policy states who may do what. [Grants] is the table of permissions: the name
// of each, what it allows in words, and which actions need it. All that names permissions
// is made from the table: the rules that [Allow] checks, the page of permissions, the
// help of `postern staff permit`, the description of the API and docs/security.md.
//
// To add a permission, add its row here, name one of its actions in a route or an
// operation of the API, and test that.
//
// The package does no I/O.
package policy

import (
	"errors"
	"fmt"
	"slices"

	"postern/internal/events"
	"postern/internal/problem"
)

// A Realm is one of the two kinds of people who sign in. Its value is also how
// an event's actor begins.
type Realm string

// The realms.
const (
	RealmStaff      Realm = "staff"
	RealmPortalUser Realm = "portal_user"
)

// A Subject is somebody who has shown who they are. The zero Subject is nobody.
type Subject struct {
	Realm       Realm
	ID          string       // staff id or portal user id
	No          int32        // portal user number; 0 for staff
	Name        string       // as the people who use Postern see it
	Permissions []Permission // staff only
	// Method is how they signed in; "" with an API token.
	Method Method
	// FactorDue: the clinic asks for a second factor, and they have none. Until they
	// have set one up they may do nothing else.
	FactorDue bool
}

// A Method is how somebody signed in, as the record has it.
type Method = events.SignInMethod

// ByOrganisation is signing in at the clinic's own identity provider.
const ByOrganisation = events.ByOrganisation

// Actor is how events name the subject: "staff:<id>" or "portal_user:<id>".
func (s Subject) Actor() string { return string(s.Realm) + ":" + s.ID }

// ErrUnauthenticated says that nobody has shown who they are.
var ErrUnauthenticated = problem.Unauthenticated.New("nobody is signed in: sign in and try again")

// ErrFactorDue says that the clinic asks for a second factor and the subject has none.
var ErrFactorDue = problem.SecondFactorDue.New("your clinic asks for a second factor: set one up under Account first")

// ErrForbidden is what every [Forbidden] is.
var ErrForbidden = errors.New("forbidden")

// Forbidden says which permission an action lacked; "" where no permission
// would help.
type Forbidden struct {
	Action  Action
	Missing Permission
}

func (f Forbidden) Error() string {
	if f.Missing == "" {
		return fmt.Sprintf("%s is not available to this kind of account", f.Action)
	}
	return fmt.Sprintf("this needs the permission %s (%s): ask an administrator for it", f.Missing.Name(), f.Missing)
}

// Problem is how what was asked is answered.
func (f Forbidden) Problem() *problem.Error { return problem.Forbidden.Problem(f.Error()) }

// Is makes every Forbidden an [ErrForbidden].
func (Forbidden) Is(target error) bool { return target == ErrForbidden }

// Allow returns nil if subject may do action, [ErrUnauthenticated] for nobody,
// [ErrFactorDue] for who has to set up a second factor first, or else a [Forbidden]
// with the least permission that would do.
func Allow(subject Subject, action Action) error {
	if subject.Realm == "" {
		return ErrUnauthenticated
	}
	rule, known := rules[action]
	if !known || rule.realm != subject.Realm {
		return Forbidden{Action: action}
	}
	if subject.FactorDue && action != SecureAccount {
		return ErrFactorDue
	}
	for _, p := range rule.needs {
		if slices.Contains(subject.Permissions, p) {
			return nil
		}
	}
	if len(rule.needs) == 0 {
		return nil
	}
	return Forbidden{Action: action, Missing: rule.needs[0]}
}
