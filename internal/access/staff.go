package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/text/address"
	"postern/internal/text/invisible"
)

// Staff is a staff member, as the record has them.
type Staff struct {
	ID         string // a UUIDv7
	Name       string
	Email      string
	CreatedAt  time.Time  // the event's
	DisabledAt *time.Time // since when they may not come in; nil: they may
	// SecondFactor: they sign in with a code besides the password.
	SecondFactor bool
	Permissions  []policy.Permission
}

// subject is nobody for the zero Staff, and for who may not come in.
func (s Staff) subject() policy.Subject {
	if s.ID == "" || s.DisabledAt != nil {
		return policy.Subject{}
	}
	return policy.Subject{Realm: policy.RealmStaff, ID: s.ID, Name: s.Name, Permissions: s.Permissions}
}

// selectStaff holds to the rule that nobody is staff without both a row on the
// record and an account.
const selectStaff = `
	SELECT s.staff_id, s.name, a.email, s.created_at, s.disabled_at,
	       EXISTS (SELECT FROM record.second_factors f WHERE f.staff_id = s.staff_id),
	       array(SELECT p.permission FROM record.staff_permissions p WHERE p.staff_id = s.staff_id ORDER BY p.permission)
	FROM record.staff s JOIN app.staff_accounts a USING (staff_id)`

var (
	// ErrNoStaff says that nobody is staff under that id or address.
	ErrNoStaff = problem.NotFound.New("no such staff member: `postern staff list` shows all of them")
	// ErrStaffExists says that the address belongs to a staff member already.
	ErrStaffExists = errors.New("a staff member with this e-mail address exists already")
	// ErrEmail and ErrName refuse what a staff member can't be created with.
	ErrEmail = errors.New("the e-mail address can't be used")
	ErrName  = fmt.Errorf("a name has 1 to %s, all of them visible", limits.StaffName)
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

// NewStaff is what a staff member is created with.
type NewStaff struct {
	Email       string
	Name        string
	Password    string // "": they sign in with API tokens alone
	Permissions []policy.Permission
}

// CreateStaff makes somebody staff, on the word of actor, and returns once the
// record says so. Called again after a failure, with the same address, it goes
// on where it stopped, under the same id. It fails with the errors of
// [NewStaff.Check] or with [ErrStaffExists] before anything is written.
func (g *Gate) CreateStaff(ctx context.Context, actor string, n NewStaff) (Staff, error) {
	n, err := n.cleaned()
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
	// A crash from here on leaves an account that opens nothing, since the record
	// does not know it; calling again finds it.
	id, err := g.claimStaffAccount(ctx, n.Email, hash)
	if err != nil {
		return Staff{}, err
	}
	bodies := []events.Body{events.StaffCreated{StaffID: id.String(), Name: n.Name}}
	for _, p := range n.Permissions {
		// The change is the creation: a repeat gives the same events.
		bodies = append(bodies, events.PermissionChanged{Granted: true, Change: id, StaffID: id.String(), Permission: string(p)})
	}
	seq, err := g.publish(ctx, actor, bodies...)
	if err != nil {
		return Staff{}, fmt.Errorf("recording the new staff member: %w", err)
	}
	// From here on they are staff, whatever becomes of this process.
	if err := g.cfg.Facts.Wait(ctx, seq); err != nil {
		return Staff{}, err
	}
	return g.StaffByID(ctx, id.String())
}

// Check gives everything that is wrong with a staff member to be, joined: errors of
// [ParsePermission], and those that wrap [ErrName], [ErrEmail] or [passwords.ErrRefused]. An
// address that is taken is found by [Gate.CreateStaff] alone.
func (n NewStaff) Check() error {
	_, err := n.cleaned()
	return err
}

// cleaned is n as it is kept, with the errors of [NewStaff.Check].
func (n NewStaff) cleaned() (NewStaff, error) {
	var wrong []error
	n.Name = invisible.Trim(n.Name)
	hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
	if length := utf8.RuneCountInString(n.Name); length < 1 || length > int(limits.StaffName) || !utf8.ValidString(n.Name) || strings.ContainsFunc(n.Name, hidden) {
		wrong = append(wrong, ErrName)
	}
	email, err := address.Clean(n.Email)
	if err != nil {
		wrong = append(wrong, fmt.Errorf("%w: it %w", ErrEmail, err))
	}
	n.Email = email
	for _, p := range n.Permissions {
		if _, err := policy.ParsePermission(string(p)); err != nil {
			wrong = append(wrong, err)
		}
	}
	if n.Password != "" {
		wrong = append(wrong, passwords.Check(n.Password, limits.StaffPassword))
	}
	return n, errors.Join(wrong...)
}

// claimStaffAccount makes the account of an address, or finds the one that a
// creation cut short has left, and returns its staff id.
func (g *Gate) claimStaffAccount(ctx context.Context, email string, hash *string) (uuid.UUID, error) {
	fresh, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("making a staff id: %w", err)
	}
	id, err := one(ctx, g.pool, ErrStaffExists, pgx.RowTo[string], `
		INSERT INTO app.staff_accounts AS a (staff_id, email, password_hash) VALUES ($1, $2, $3)
		ON CONFLICT (lower(email)) DO UPDATE SET email = excluded.email, password_hash = excluded.password_hash
		WHERE NOT EXISTS (SELECT FROM record.staff s WHERE s.staff_id = a.staff_id)
		RETURNING staff_id`, fresh.String(), email, hash)
	if errors.Is(err, ErrStaffExists) {
		return uuid.Nil, err
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("making the account: %w", err)
	}
	return uuid.Parse(id)
}

// SetStaffPassword gives a staff member another password and ends their
// sessions. It fails with [ErrNoStaff] or [passwords.ErrRefused].
func (g *Gate) SetStaffPassword(ctx context.Context, staffID, password string) error {
	if err := passwords.Check(password, limits.StaffPassword); err != nil {
		return err
	}
	staff, err := g.StaffByID(ctx, staffID)
	if err != nil {
		return err
	}
	hash, err := g.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	return g.inTx(ctx, "setting a password", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE app.staff_accounts SET password_hash = $2 WHERE staff_id = $1`, staff.ID, hash); err != nil {
			return err
		}
		return endSessions(ctx, tx, policy.RealmStaff, staff.ID)
	})
}

// inTx does something in a transaction; doing names it in the error.
func (g *Gate) inTx(ctx context.Context, doing string, do func(pgx.Tx) error) error {
	if err := pgx.BeginFunc(ctx, g.pool, do); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
