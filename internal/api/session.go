package api

import (
	"context"
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/problem"
)

// Me is the signed-in staff member or portal user.
type Me struct {
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Permissions []policy.Permission `json:"permissions,omitempty" doc:"For staff only."`
	// SecondFactorDue is left out of the JSON unless it is true.
	SecondFactorDue bool `json:"second_factor_due,omitempty" doc:"The clinic requires a second factor, and this staff member has none: until they set one up, in a browser at Account, every other operation is answered with 403 and the type /problems/second-factor-due."`
}

func meOf(s policy.Subject) Me {
	return Me{ID: s.ID, Name: s.Name, Permissions: s.Permissions, SecondFactorDue: s.FactorDue}
}

// Credentials are the e-mail address and password of a sign-in.
type Credentials struct {
	Email    string `json:"email" maxLength:"254"`
	Password string `json:"password" maxLength:"1024"`
}

type signInInput struct {
	Body struct {
		Credentials
		TOTP string `json:"totp,omitempty" maxLength:"32" doc:"The code of the authenticator app, or a recovery code. If the account has a second factor and this is missing, the answer is 401 with the type /problems/second-factor-required. A passkey is used in a browser."`
	}
}

type signOutInput struct {
	Everywhere bool `query:"everywhere" doc:"End all my sessions, on every device."`
}

// SessionOperations sign staff and portal users in and out.
type SessionOperations struct {
	Gate *access.Gate
}

// register registers signing in and out, for staff and for portal users.
func (g SessionOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodPost, path: "/v1/session", id: "sign-in-staff", tag: forStaff, summary: "Sign in as staff.",
		problems: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *signInInput) (*body[Me], error) {
		return g.begin(ctx, g.Gate.SignInStaff, access.Credentials{Email: in.Body.Email, Password: in.Body.Password, TOTP: in.Body.TOTP})
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/portal/session", id: "sign-in-portal", tag: forPortal, summary: "Sign in to the portal.",
		problems: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *signInInput) (*body[Me], error) {
		return g.begin(ctx, g.Gate.SignInPortal, access.Credentials{Email: in.Body.Email, Password: in.Body.Password, TOTP: in.Body.TOTP})
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/session/password", id: "change-password", tag: forStaff, status: http.StatusNoContent,
		summary: "Change my password. All my other sessions end. The new password has at least {StaffPassword}.",
		actions: []policy.Action{policy.SecureAccount}, problems: []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests},
	}, g.changePassword)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/session/unlink", id: "unlink-own", tag: forStaff, status: http.StatusNoContent,
		summary: "Unlink my account from my identity at the organisation. All my sessions end, also this one, and I sign in with my password.",
		actions: []policy.Action{policy.SecureAccount}, problems: []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *unlinkInput) (*struct{}, error) {
		return nil, passwordFault(g.Gate.UnlinkOwn(ctx, subjectOf(ctx), in.Body.Password))
	})
	g.ownSession(a, "/v1/session", forStaff, policy.RealmStaff, policy.Search, policy.SecureAccount)
	g.ownSession(a, "/v1/portal/session", forPortal, policy.RealmPortalUser, policy.ReadInbox, policy.ReadInbox)
	g.registerLists(a)
}

type unlinkInput struct {
	Body struct {
		Password string `json:"password" maxLength:"1024" doc:"My password."`
	}
}

// passwordFault gives a wrong password its location.
func passwordFault(err error) error {
	if errors.Is(err, passwords.ErrCurrent) {
		fault := problem.Fault{Location: "body.password", Message: passwords.ErrCurrent.Error()}
		return problem.InvalidRequest.Problem(fault.Location+" "+fault.Message, fault)
	}
	return err
}

type passwordInput struct {
	Body struct {
		Current string `json:"current" maxLength:"1024" doc:"The password until now."`
		New     string `json:"new" maxLength:"1024" doc:"The password from now on."`
	}
}

// changePassword begins a new session, because the session of the request has ended too.
func (g SessionOperations) changePassword(ctx context.Context, in *passwordInput) (*struct{}, error) {
	who := subjectOf(ctx)
	if err := g.Gate.ChangeStaffPassword(ctx, who, in.Body.Current, in.Body.New); err != nil {
		return nil, passwordProblem(err)
	}
	return nil, g.Gate.Begin(ctx, who)
}

// passwordProblem gives the faults of a change of a password their locations.
func passwordProblem(err error) error {
	var faults []problem.Fault
	if errors.Is(err, passwords.ErrCurrent) {
		faults = append(faults, problem.Fault{Location: "body.current", Message: passwords.ErrCurrent.Error()})
	}
	if refused := refusalOf(err); refused != nil {
		faults = append(faults, problem.Fault{Location: "body.new", Message: refused.Error()})
	}
	if faults == nil {
		return err
	}
	return problem.InvalidRequest.Problem(faults[0].Location+" "+faults[0].Message, faults...)
}

// refusalOf returns the one of joined errors that refuses a password, or nil.
func refusalOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			if errors.Is(one, passwords.ErrRefused) {
				return one
			}
		}
	}
	if errors.Is(err, passwords.ErrRefused) {
		return err
	}
	return nil
}

func (g SessionOperations) begin(ctx context.Context, signIn func(context.Context, access.Credentials) (policy.Subject, error), c access.Credentials) (*body[Me], error) {
	subject, err := signIn(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := g.Gate.Begin(ctx, subject); err != nil {
		return nil, err
	}
	return answerWith(meOf(subject)), nil
}

// ownSession registers reading and ending one's own session. Every subject of the realm may
// do the action anyone. Ending all of one's sessions is the action end.
func (g SessionOperations) ownSession(a *API, path, tag string, realm policy.Realm, anyone, end policy.Action) {
	handle(a, operation{
		method: http.MethodGet, path: path, id: "who-am-i-" + string(realm), tag: tag, summary: "Who is signed in.",
		actions: []policy.Action{anyone},
	}, func(ctx context.Context, _ *struct{}) (*body[Me], error) {
		return answerWith(meOf(subjectOf(ctx))), nil
	})
	handle(a, operation{
		method: http.MethodDelete, path: path, id: "sign-out-" + string(realm), tag: tag, status: http.StatusNoContent,
		summary: "Sign out. Without a session, this does nothing.",
	}, func(ctx context.Context, in *signOutInput) (*struct{}, error) {
		if in.Everywhere {
			if err := g.signOutEverywhere(ctx, end); err != nil {
				return nil, err
			}
		}
		return nil, g.Gate.SignOut(ctx, realm)
	})
}

func (g SessionOperations) signOutEverywhere(ctx context.Context, end policy.Action) error {
	subject, err := policy.SubjectFrom(ctx)
	if errors.Is(err, policy.ErrUnauthenticated) {
		return nil // signed out already
	}
	if err == nil {
		err = policy.Allow(subject, end)
	}
	if err != nil {
		return err
	}
	return g.Gate.SignOutEverywhere(ctx, subject)
}
