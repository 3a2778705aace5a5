// Package policy defines the permissions and checks them. [Grants] is the table of
// permissions: the name of each, a sentence about what it allows, and which actions need
// it. Every list of permissions is made from the table: the rules that [Allow] checks, the
// page of permissions, the help of `postern staff permit`, the description of the API and
// docs/security.md.
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
	"postern/internal/text/language"
)

// A Realm is one of the two kinds of people who sign in. Its value is also how
// an event's actor begins.
type Realm string

// The realms.
const (
	RealmStaff      Realm = "staff"
	RealmPortalUser Realm = "portal_user"
)

// A Subject is an authenticated staff member or portal user. The zero Subject means that
// the request is not authenticated.
type Subject struct {
	Realm       Realm
	ID          string       // staff id or portal user id
	No          int32        // portal user number; 0 for staff
	Name        string       // as shown on pages
	Permissions []Permission // staff only
	// Method is the sign-in method; "" with an API token.
	Method Method
	// Token is the id of the API token of the request; "" with a session.
	Token string
	// FactorDue is set if the clinic requires a second factor and they have none. Until
	// they have set one up, they may do nothing else.
	FactorDue bool
	// Language is the one that they chose for pages and e-mails; "" for none.
	Language language.Language
}

// A Method is a sign-in method, as recorded.
type Method = events.SignInMethod

// ByOrganisation is signing in at the clinic's own identity provider.
const ByOrganisation = events.ByOrganisation

// Actor is how events name the subject: "staff:<id>" or "portal_user:<id>".
func (s Subject) Actor() string { return string(s.Realm) + ":" + s.ID }

// ErrUnauthenticated says that the request is not authenticated.
var ErrUnauthenticated = problem.Unauthenticated.New("you are not signed in: sign in and try again")

// ErrFactorDue says that the clinic requires a second factor and the subject has none.
var ErrFactorDue = problem.SecondFactorDue.New("your clinic requires a second factor: sign in on the staff page in a browser, and set one up at Account first")

// ErrSessionNeeded says that an API token can't do what only a session can.
var ErrSessionNeeded = problem.SessionNeeded.New("an API token can't do this: sign in, and try again with your session")

// ErrForbidden matches every [Forbidden].
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

// Problem is the API's answer to the refused request.
func (f Forbidden) Problem() *problem.Error { return problem.Forbidden.Problem(f.Error()) }

// Is makes every Forbidden an [ErrForbidden].
func (Forbidden) Is(target error) bool { return target == ErrForbidden }

// Allow returns nil if subject may do action. It returns [ErrUnauthenticated] for the zero
// Subject, [ErrSessionNeeded] for an API token where only a session will do, [ErrFactorDue] for
// staff who must set up a second factor first, and otherwise a [Forbidden] with the lowest
// permission that would be enough.
func Allow(subject Subject, action Action) error {
	if subject.Realm == "" {
		return ErrUnauthenticated
	}
	rule, known := rules[action]
	if !known || rule.realm != subject.Realm {
		return Forbidden{Action: action}
	}
	if subject.Token != "" && slices.Contains(bySession, action) {
		return ErrSessionNeeded
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
