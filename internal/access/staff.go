package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/access/factor"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/text/address"
	"postern/internal/text/invisible"
	"postern/internal/text/language"
)

// Staff is a staff member, as recorded.
type Staff struct {
	ID         string // a UUIDv7
	Name       string
	Email      string
	CreatedAt  time.Time  // the time of the event
	DisabledAt *time.Time // when the account was disabled; nil: it is enabled
	// SecondFactors are the kinds of their second factors; empty: they have none.
	SecondFactors []factor.Kind
	Permissions   []policy.Permission
	HasPassword   bool
	// Invited is set until they have set their first password, or have signed in at the
	// organisation, if they were added with a link.
	Invited bool
	// InvitedUntil is when the link of an invited staff member expires; nil without a link.
	InvitedUntil *time.Time
	// EmailVersion is how often the e-mail address was changed, and EmailChangedAt when it was
	// last; nil: not since version 0.3.
	EmailVersion   int
	EmailChangedAt *time.Time
	// LinkedAt is when the account was linked to an identity at the organisation, and LinkedTo
	// is the issuer; nil and "": it is not linked.
	LinkedAt *time.Time
	LinkedTo string
	// Language is the one that they chose for pages and e-mails; "" for none.
	Language language.Language
}

// FactorNames returns the kinds of their second factors, in words.
func (s Staff) FactorNames() []string { return factor.Names(s.SecondFactors) }

// StaffState is the state of a staff account.
type StaffState string

// The states. An invited staff member has not set a first password; after the invitation
// has expired they need another link. A disabled one can't sign in, invited or not.
const (
	StaffInvited           StaffState = "invited"
	StaffInvitationExpired StaffState = "invitation_expired"
	StaffActive            StaffState = "active"
	StaffDisabled          StaffState = "disabled"
)

// StateOf returns the present state of a staff account.
func (g *Gate) StateOf(s Staff) StaffState {
	switch {
	case s.DisabledAt != nil:
		return StaffDisabled
	case !s.Invited:
		return StaffActive
	case s.InvitedUntil != nil && g.cfg.Facts.Now().Before(*s.InvitedUntil):
		return StaffInvited
	}
	return StaffInvitationExpired
}

// subject is the zero Subject for the zero Staff and for a disabled staff member.
func (s Staff) subject() policy.Subject {
	if s.ID == "" || s.DisabledAt != nil {
		return policy.Subject{}
	}
	return policy.Subject{Realm: policy.RealmStaff, ID: s.ID, Name: s.Name, Permissions: s.Permissions, Language: s.Language}
}

// selectStaff applies the rule that a staff member has both a row in the record and an
// account.
var selectStaff = `
	SELECT s.staff_id, s.name, a.email, s.created_at, s.disabled_at,
	       ` + fmt.Sprintf(kindsInForce, "'staff'", "s.staff_id") + `,
	       array(SELECT p.permission FROM record.staff_permissions p WHERE p.staff_id = s.staff_id ORDER BY p.permission),
	       a.password_hash IS NOT NULL, a.setup = 'invited',
	       CASE WHEN a.setup = 'invited' THEN (SELECT l.expires_at FROM app.password_links l
	           WHERE l.realm = 'staff' AND l.subject = s.staff_id AND l.used_at IS NULL AND l.address_version = a.email_version) END,
	       a.email_version, a.email_changed_at, i.linked_at, coalesce(i.issuer, ''), coalesce(a.language, '')
	FROM record.staff s JOIN app.staff_accounts a USING (staff_id) LEFT JOIN record.identities i USING (staff_id)`

var (
	// ErrNoStaff says that no staff member has that id or e-mail address.
	ErrNoStaff = problem.NotFound.New("no such staff member: `postern staff list` shows all of them")
	// ErrStaffExists says that the address belongs to a staff member already.
	ErrStaffExists = problem.StaffExists.New("a staff member with this e-mail address exists already")
	// ErrEmail and ErrName say that a staff member's e-mail address or name is invalid.
	ErrEmail       = errors.New("the e-mail address can't be used")
	ErrName  error = language.NewError(language.Message{ID: "A name has 1 to {limit} characters, all of them visible.", Args: []any{"limit", int(limits.StaffName)}})
)

// ListStaff returns all staff by name.
func (g *Gate) ListStaff(ctx context.Context) ([]Staff, error) {
	rows, err := g.pool.Query(ctx, selectStaff+` ORDER BY lower(s.name), s.staff_id`)
	if err != nil {
		return nil, fmt.Errorf("listing staff: %w", err)
	}
	staff, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Staff])
	if err != nil {
		return nil, fmt.Errorf("listing staff: %w", err)
	}
	return staff, nil
}

// StaffByID returns the staff member with that id, or [ErrNoStaff].
func (g *Gate) StaffByID(ctx context.Context, id string) (Staff, error) {
	return staffByID(ctx, g.pool, id)
}

func staffByID(ctx context.Context, q querier, id string) (Staff, error) {
	return readStaff(ctx, q, selectStaff+` WHERE s.staff_id = $1`, id)
}

// StaffByEmail returns the staff member who signs in with that address, in
// whatever case it is typed, or [ErrNoStaff].
func (g *Gate) StaffByEmail(ctx context.Context, email string) (Staff, error) {
	return readStaff(ctx, g.pool, selectStaff+` WHERE `+hasAddress("a.email"), stored(email))
}

func readStaff(ctx context.Context, q querier, sql string, key any) (Staff, error) {
	staff, err := one(ctx, q, ErrNoStaff, pgx.RowToStructByPos[Staff], sql, key)
	if err != nil && !errors.Is(err, ErrNoStaff) {
		err = fmt.Errorf("reading a staff member: %w", err)
	}
	return staff, err
}

// NewStaff is the data of a staff member to be created.
type NewStaff struct {
	Email string
	Name  string
	// Invited says that they set their first password with a link: see [Gate.InviteStaff].
	Invited bool
	// Password is their first password, given at the command line. Without one, staff who
	// are not invited sign in with API tokens or at the organisation alone.
	Password    string
	Permissions []policy.Permission
}

// CreateStaff creates a staff member and returns once the event can be read. The event
// names actor. Permissions that take two people are requested, as [Gate.Permit] does. To retry after a failure, call it again with the same e-mail address: it
// continues with the same id. It fails with the errors of [NewStaff.Check] or with
// [ErrStaffExists] before anything is written.
func (g *Gate) CreateStaff(ctx context.Context, actor string, n NewStaff) (Staff, error) {
	return g.createStaff(ctx, actor, n, func(string) ([]events.Body, error) { return nil, nil })
}

// createStaff is [Gate.CreateStaff] with further facts about the account, which are recorded
// in the same batch.
func (g *Gate) createStaff(ctx context.Context, actor string, n NewStaff, further func(staffID string) ([]events.Body, error)) (Staff, error) {
	n, err := n.cleaned(g.clinic(ctx))
	if err != nil {
		return Staff{}, err
	}
	var hash *string // NULL without a password
	if n.Password != "" {
		h, err := g.passwords.hash(ctx, n.Password)
		if err != nil {
			return Staff{}, err
		}
		hash = &h
	}
	// A crash from here on leaves an account without a recorded staff member, which can't
	// sign in. Calling again finds it.
	id, err := g.claimStaffAccount(ctx, n, hash)
	if err != nil {
		return Staff{}, err
	}
	bodies := []events.Body{events.StaffCreated{StaffID: id.String(), Name: n.Name}}
	// The change is the creation: a repeat gives the same events.
	var requested []policy.Permission
	for _, p := range n.Permissions {
		if !alonePermits(actor, p) {
			requested = append(requested, p)
			continue
		}
		bodies = append(bodies, events.PermissionChanged{Granted: true, Change: id, StaffID: id.String(), Permission: string(p)})
	}
	bodies = append(bodies, g.requestsOf(nil, id, id.String(), events.BecauseNewStaff, without(requested, nil))...)
	if n.Password != "" {
		bodies = append(bodies, events.PasswordSet{Change: id, Account: string(policy.RealmStaff), ID: id.String(), How: events.ByCommandLine})
	}
	more, err := further(id.String())
	if err != nil {
		return Staff{}, err
	}
	bodies = append(bodies, more...)
	// A crash after this leaves the staff member created.
	if err := g.recordFacts(ctx, actor, bodies...); err != nil {
		return Staff{}, err
	}
	return g.StaffByID(ctx, id.String())
}

// Check returns all errors in the data of a new staff member, joined: those of
// [policy.ParsePermission], and those that wrap [ErrName], [ErrEmail] or
// [passwords.ErrRefused]. Only [Gate.CreateStaff] finds that an address is taken, or that the
// password is the clinic's name.
func (n NewStaff) Check() error {
	_, err := n.cleaned("")
	return err
}

// cleaned returns n as it is stored, and the errors of [NewStaff.Check].
func (n NewStaff) cleaned(clinic string) (NewStaff, error) {
	var wrong []error
	var err error
	if n.Name, err = cleanStaffName(n.Name); err != nil {
		wrong = append(wrong, err)
	}
	if n.Email, err = cleanStaffEmail(n.Email); err != nil {
		wrong = append(wrong, err)
	}
	for _, p := range n.Permissions {
		if _, err := policy.ParsePermission(string(p)); err != nil {
			wrong = append(wrong, err)
		}
	}
	if n.Password != "" {
		wrong = append(wrong, passwords.Check(n.Password, limits.StaffPassword, passwords.About{Clinic: clinic, Name: n.Name, Email: n.Email}))
	}
	return n, errors.Join(wrong...)
}

// cleanStaffName returns a name as it is stored, or [ErrName].
func cleanStaffName(name string) (string, error) { return cleanName(name, limits.StaffName, ErrName) }

// cleanName returns a name as it is stored, or wrong if it is empty, longer than most, or has
// characters that can't be seen.
func cleanName(name string, most limits.Characters, wrong error) (string, error) {
	name = invisible.Trim(name)
	hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
	if length := utf8.RuneCountInString(name); length < 1 || length > int(most) || !utf8.ValidString(name) || strings.ContainsFunc(name, hidden) {
		return name, wrong
	}
	return name, nil
}

// cleanStaffEmail returns an e-mail address as it is stored, or an error that wraps
// [ErrEmail].
func cleanStaffEmail(email string) (string, error) {
	clean, err := address.Clean(email)
	if err != nil {
		return "", fmt.Errorf("%w: it %w", ErrEmail, err)
	}
	return clean, nil
}

// claimStaffAccount makes the account of an e-mail address, or finds the one that an
// interrupted creation left, and returns its staff id. It runs alone, because
// [Gate.ChangeStaff] finds an address free before it records the change.
func (g *Gate) claimStaffAccount(ctx context.Context, n NewStaff, hash *string) (id uuid.UUID, err error) {
	fresh, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("making a staff id: %w", err)
	}
	setup := "complete"
	if n.Invited {
		setup = "invited"
	}
	err = g.alone(ctx, func(q querier, _ func(context.Context) error) error {
		text, err := one(ctx, q, ErrStaffExists, pgx.RowTo[string], `
			INSERT INTO app.staff_accounts AS a (staff_id, email, password_hash, setup) VALUES ($1, $2, $3, $4)
			ON CONFLICT (lower(email)) DO UPDATE SET email = excluded.email, password_hash = excluded.password_hash, setup = excluded.setup
			WHERE NOT EXISTS (SELECT FROM record.staff s WHERE s.staff_id = a.staff_id)
			RETURNING staff_id`, fresh.String(), n.Email, hash, setup)
		if err != nil && !errors.Is(err, ErrStaffExists) {
			err = fmt.Errorf("making the account: %w", err)
		}
		if err == nil {
			id, err = uuid.Parse(text)
		}
		return err
	})
	return id, err
}

// inTx runs do in a transaction. Errors begin with doing.
func (g *Gate) inTx(ctx context.Context, doing string, do func(pgx.Tx) error) error {
	if err := pgx.BeginFunc(ctx, g.pool, do); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
