package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/internal/access/groups"
	"postern/internal/access/oidc"
	"postern/internal/access/policy"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/text/language"
)

// Organisation says what the clinic's own identity provider decides besides who a person is.
type Organisation struct {
	// JustInTime makes a staff account for a person who has none and whose groups give a
	// permission.
	JustInTime bool
	// Groups are the permissions by group. If it is empty, groups give and take none.
	Groups groups.Mapping
}

// An OrganisationRefusal says why a person whom their organisation has authenticated is not
// signed in here.
type OrganisationRefusal struct {
	Reason string // for the record
	says   string
}

func (r OrganisationRefusal) Error() string { return language.English.Text(r.says, r.hours()...) }

// Message implements [language.Localized].
func (r OrganisationRefusal) Message() language.Message {
	return language.Message{ID: strings.ToUpper(r.says[:1]) + r.says[1:] + ".", Args: r.hours()}
}

func (OrganisationRefusal) hours() []any { return []any{"hours", int(firstLinkAfter.Hours())} }

// The refusals.
var (
	// ErrUnknownAtOrganisation says that no staff member has the e-mail address that the
	// organisation gave.
	ErrUnknownAtOrganisation = OrganisationRefusal{"no_account", "no staff member has the e-mail address that your organisation gave: ask an administrator to add you with it"}
	// errDisabledAtOrganisation says the same of a disabled account.
	errDisabledAtOrganisation = OrganisationRefusal{"inactive", ErrUnknownAtOrganisation.says}
	// ErrUnverifiedAddress says that a first sign-in needs an address that the organisation
	// has verified.
	ErrUnverifiedAddress = OrganisationRefusal{"unverified_address", "your organisation did not confirm your e-mail address, which is needed once to find your staff account: ask the people who look after sign-in there, or sign in with your password"}
	// ErrOtherIdentity says that the account that has the address is linked to another
	// identity.
	ErrOtherIdentity = OrganisationRefusal{"other_identity", "the staff account with your e-mail address is linked to another sign-in at your organisation: ask an administrator to unlink it at Staff Info, and start again"}
	// ErrAddressChanged says that the address of the account was changed a short time ago.
	ErrAddressChanged = OrganisationRefusal{"address_changed", "the e-mail address of your staff account was changed less than {hours} hours ago: sign in with your password until then, and try again after that"}
	// ErrNoGroup says that accounts are made by groups, and none of the person's groups is one
	// of those.
	ErrNoGroup = OrganisationRefusal{"no_group", "you have no staff account, and none of your groups at your organisation gives you one: ask an administrator to add you"}
	// ErrNamelessAtOrganisation says that an account can't be made without a name.
	ErrNamelessAtOrganisation = OrganisationRefusal{"no_name", "your organisation did not give your name, so no staff account was made for you: ask an administrator to add you"}
)

// attemptKey is the session key of an attempt to sign in at the organisation. An attempt
// is good for one answer.
const attemptKey = "attempt"

// KeepAttempt stores this browser's attempt to sign in at an organisation, and replaces
// an earlier one. The request must have come through [Gate.Staff].
func (g *Gate) KeepAttempt(ctx context.Context, attempt string) {
	g.staff.sessions.Put(ctx, attemptKey, attempt)
}

// TakeAttempt returns and deletes this browser's attempt, so that an answer is used once.
// It returns "" if there is none.
func (g *Gate) TakeAttempt(ctx context.Context) string {
	return g.staff.sessions.PopString(ctx, attemptKey)
}

// SignInByOrganisation is [Gate.SignInStaff] for a staff member whom the clinic's own
// identity provider has authenticated. The account is the one that is linked to the identity.
// At the first sign-in it is the one that has the verified e-mail address, which is linked; or
// a new one is made, if [Organisation] says so. Permissions then follow the groups. It asks
// for no second factor: the provider does. It fails with an [OrganisationRefusal], whose text
// is the same for an unknown address and for a disabled staff member.
func (g *Gate) SignInByOrganisation(ctx context.Context, who oidc.Identity) (policy.Subject, error) {
	staff, err := g.identify(ctx, who)
	if refusal := (OrganisationRefusal{}); errors.As(err, &refusal) {
		if err := g.recordOrganisationFailure(ctx, staff.ID, refusal.Reason); err != nil {
			return policy.Subject{}, err
		}
	}
	if err != nil {
		return policy.Subject{}, err
	}
	if staff, err = g.followGroups(ctx, staff, who); err != nil {
		return policy.Subject{}, err
	}
	if err := g.recordSignIn(ctx, policy.RealmStaff, staff.ID, events.ByOrganisation); err != nil {
		return policy.Subject{}, err
	}
	if staff.Invited {
		// They need no password: the invitation has served its purpose.
		if _, err := g.pool.Exec(ctx, `UPDATE app.staff_accounts SET setup = 'complete' WHERE staff_id = $1`, staff.ID); err != nil {
			return policy.Subject{}, fmt.Errorf("completing an account: %w", err)
		}
	}
	subject := staff.subject()
	subject.Method = events.ByOrganisation
	return subject, nil
}

// identify returns the enabled staff member that an identity is linked to. Where there is no
// link yet, it makes one. With a refusal it returns the account that is meant, if there is one.
func (g *Gate) identify(ctx context.Context, who oidc.Identity) (Staff, error) {
	staff, err := linkedTo(ctx, g.pool, who)
	if errors.Is(err, ErrNoStaff) {
		if who.Email == "" {
			return Staff{}, ErrUnverifiedAddress
		}
		staff, err = g.linkByAddress(ctx, who)
	}
	if errors.Is(err, ErrNoStaff) {
		staff, err = g.createByOrganisation(ctx, who)
	}
	if err == nil && staff.DisabledAt != nil {
		err = errDisabledAtOrganisation
	}
	return staff, err
}

// createByOrganisation makes the account of a person whom no account has, with the permissions
// of their groups, linked to their identity: all of it is recorded as one batch. It fails with
// an [OrganisationRefusal].
func (g *Gate) createByOrganisation(ctx context.Context, who oidc.Identity) (Staff, error) {
	permissions := g.cfg.Organisation.Groups.Permissions(who.Groups)
	switch {
	case !g.cfg.Organisation.JustInTime:
		return Staff{}, ErrUnknownAtOrganisation
	case len(permissions) == 0:
		return Staff{}, ErrNoGroup
	}
	if strings.Contains(who.Name, "@") {
		return Staff{}, ErrNamelessAtOrganisation // an e-mail address must not be in the record
	}
	_, err := g.createStaff(ctx, events.ByTheOrganisation, NewStaff{Email: who.Email, Name: who.Name, Permissions: permissions},
		func(staffID string) ([]events.Body, error) {
			fact, err := g.keepIdentity(ctx, staffID, who)
			return []events.Body{fact}, err
		})
	switch {
	case errors.Is(err, ErrName):
		return Staff{}, ErrNamelessAtOrganisation
	case errors.Is(err, ErrEmail):
		return Staff{}, ErrUnknownAtOrganisation
	case err != nil && !errors.Is(err, ErrStaffExists):
		return Staff{}, err
	}
	// Another sign-in may have made the account at the same time. It is theirs if they are
	// the same person.
	staff, err := linkedTo(ctx, g.pool, who)
	if errors.Is(err, ErrNoStaff) {
		err = ErrOtherIdentity
	}
	return staff, err
}

// followGroups gives a staff member the permissions of their groups, and takes those that
// groups gave earlier and give no longer. A permission that a person gave stays.
func (g *Gate) followGroups(ctx context.Context, staff Staff, who oidc.Identity) (Staff, error) {
	if len(g.cfg.Organisation.Groups) == 0 || who.GroupsLeftOut {
		return staff, nil
	}
	now := g.cfg.Organisation.Groups.Permissions(who.Groups)
	rows, err := g.pool.Query(ctx, `SELECT permission FROM record.staff_permissions WHERE staff_id = $1 AND granted_by = $2`, staff.ID, events.ByTheOrganisation)
	if err != nil {
		return Staff{}, fmt.Errorf("reading what groups gave: %w", err)
	}
	earlier, err := pgx.CollectRows(rows, pgx.RowTo[policy.Permission])
	if err != nil {
		return Staff{}, fmt.Errorf("reading what groups gave: %w", err)
	}
	give, take := without(now, staff.Permissions), without(earlier, now)
	if len(give)+len(take) == 0 {
		return staff, nil
	}
	// A crash before the publish changes nothing, and after it the permissions are recorded.
	// The next sign-in compares again.
	err = g.changePermissions(ctx, events.ByTheOrganisation, staff.ID, func(held []policy.Permission) ([]policy.Permission, error) {
		return append(without(held, take), give...), nil
	})
	if err != nil {
		return Staff{}, err
	}
	return g.StaffByID(ctx, staff.ID)
}

// RecordRefusal records that an organisation refused a sign-in.
func (g *Gate) RecordRefusal(ctx context.Context, reason string) error {
	return g.recordOrganisationFailure(ctx, "", reason)
}

func (g *Gate) recordOrganisationFailure(ctx context.Context, staffID, reason string) error {
	return g.recordFailure(ctx, events.SignIn{Account: string(policy.RealmStaff), ID: staffID, Method: events.ByOrganisation, Reason: reason}, false)
}
