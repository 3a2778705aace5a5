package access

import (
	"context"
	"errors"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// ErrOwnLink says that staff can't send themselves a link to set a password: with their
// current password they change it, and without it they ask for a link.
var ErrOwnLink = problem.OwnAccount.New("change your own password at Account; if you have forgotten it, ask for a link on the sign-in page")

// InviteStaff makes a single-use link with which a staff member sets a password: the first
// one, or a new one in place of a forgotten one. The current password works until then,
// and a second factor stays. The event names actor, who hands the link over. The link is
// valid for 72 hours and replaces an earlier one. It fails with [ErrNoStaff] or
// [ErrDisabled], and an earlier link still works.
func (g *Gate) InviteStaff(ctx context.Context, actor, staffID string) (Invitation, error) {
	return g.inviteStaff(ctx, actor, staffID, events.LinkByCommandLine)
}

// InviteStaffByMail is [Gate.InviteStaff] for a link that is sent by e-mail. It also fails
// with [ErrOwnLink].
func (g *Gate) InviteStaffByMail(ctx context.Context, actor, staffID string) (Invitation, error) {
	if actor == (policy.Subject{Realm: policy.RealmStaff, ID: staffID}).Actor() {
		return Invitation{}, ErrOwnLink
	}
	return g.inviteStaff(ctx, actor, staffID, events.LinkByEmail)
}

func (g *Gate) inviteStaff(ctx context.Context, actor, staffID string, by events.LinkBy) (Invitation, error) {
	staff, err := g.StaffByID(ctx, staffID)
	if err != nil {
		return Invitation{}, err
	}
	if staff.DisabledAt != nil {
		return Invitation{}, ErrDisabled
	}
	return g.issueLink(ctx, staffLinks, actor, staff.linkOwner(), by, g.anyTime())
}

// InviteStaffAddress makes a link for the staff member with this e-mail address, for
// a person who asked for one. It makes none for a disabled account, for one whose owner got a
// link a moment ago, and for one that neither has a password nor waits for its first: such
// accounts use API tokens or the organisation's sign-in alone. The event names the
// process, because a stranger may have asked.
func (g *Gate) InviteStaffAddress(ctx context.Context, email string) ([]Invitation, error) {
	staff, err := g.StaffByEmail(ctx, email)
	if errors.Is(err, ErrNoStaff) || err == nil && (staff.DisabledAt != nil || !staff.HasPassword && !staff.Invited) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	made, err := g.issueLink(ctx, staffLinks, g.cfg.Facts.Process(), staff.linkOwner(), events.LinkByEmail, g.cfg.Facts.Now().Add(-askedAlready))
	if errors.Is(err, errAskedAlready) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Invitation{made}, nil
}

func (s Staff) linkOwner() linkOwner {
	return linkOwner{s.ID, s.Email, s.EmailVersion, s.HasPassword, s.Language}
}

func (g *Gate) acceptStaffLink(ctx context.Context, token, password string) error {
	staff, digest, err := g.invitedStaff(ctx, token)
	if err != nil {
		return err
	}
	return g.setStaffPassword(ctx, staff, password, events.PasswordSet{Change: linkID(digest), How: events.ByLink},
		func(tx pgx.Tx) error { return g.useLink(ctx, tx, staffLinks, digest) })
}

// invitedStaff returns the enabled staff member to whom the link belongs, and its digest.
// It fails with [ErrInvitation].
func (g *Gate) invitedStaff(ctx context.Context, token string) (Staff, []byte, error) {
	return findLink(ctx, g, staffLinks, token, selectStaff, pgx.RowToStructByPos[Staff])
}

// dropStaffLinks deletes the links that a staff member has not used.
func dropStaffLinks(ctx context.Context, tx pgx.Tx, staffID string) error {
	_, err := tx.Exec(ctx, `DELETE FROM app.password_links WHERE realm = 'staff' AND subject = $1 AND used_at IS NULL`, staffID)
	return err
}
