package letter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/events"
)

// record projects the events of runs at once, as the recorder does.
func (c *clinic) record(ctx context.Context, all ...events.Event) (uint64, error) {
	c.recording.Lock()
	defer c.recording.Unlock()
	for _, e := range all {
		var err error
		switch e.Type {
		case events.TypeInvitationsStarted:
			var b events.InvitationsStarted
			if b, err = events.Decode[events.InvitationsStarted](e); err == nil {
				_, err = c.admin.Exec(ctx, `INSERT INTO record.invitation_runs (run_id, seq, people, everyone, status, started_by, started_at)
					VALUES ($1, (SELECT count(*) FROM record.invitation_runs), $2, $3, 'running', $4, $5)`, b.Run, b.People, b.Everyone, e.Actor, e.Time)
			}
		case events.TypeInvitationsCancelled:
			var b events.InvitationsCancelled
			if b, err = events.Decode[events.InvitationsCancelled](e); err == nil {
				_, err = c.admin.Exec(ctx, `UPDATE record.invitation_runs SET status = 'cancelled', ended_by = $2, ended_at = $3 WHERE run_id = $1`, b.Run, e.Actor, e.Time)
			}
		case events.TypeInvitationsFinished:
			var b events.InvitationsFinished
			if b, err = events.Decode[events.InvitationsFinished](e); err == nil {
				_, err = c.admin.Exec(ctx, `UPDATE record.invitation_runs SET status = 'finished', ended_by = $2, ended_at = $3 WHERE run_id = $1`, b.Run, e.Actor, e.Time)
			}
		}
		if err != nil {
			return 0, err
		}
		c.said = append(c.said, events.Summary(e, nil))
	}
	return uint64(len(c.said)), nil
}

// people puts portal users into the directory, each with another reason to be left out.
func (c *clinic) people(t *testing.T) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ('a', 'A', 'a@x.example', true), ('b', 'B', 'b@x.example', true),
			('account', 'C', 'c@x.example', true), ('dead', 'D', 'd@x.example', true), ('inactive', 'E', 'e@x.example', false), ('lately', 'F', 'f@x.example', true)`,
		`INSERT INTO app.portal_accounts (portal_user_no, password_hash) SELECT portal_user_no, 'x' FROM app.portal_users WHERE portal_user_id = 'account'`,
		`INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
			SELECT portal_user_no, 0, now(), '550', 'r' FROM app.portal_users WHERE portal_user_id = 'dead'`,
	} {
		if _, err := c.admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.gate.InviteByMail(t.Context(), "operator:test", "lately"); err != nil {
		t.Fatal(err)
	}
}

func (c *clinic) start(t *testing.T, who access.Invitees) uuid.UUID {
	t.Helper()
	run, err := c.gate.StartInvitations(t.Context(), "staff:ada", who)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (c *clinic) run1(t *testing.T, run uuid.UUID) access.InvitationRun {
	t.Helper()
	r, err := c.gate.InvitationRun(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A run sends each person who can be invited one e-mail, and says why others got none. What it
// does, its preview says.
func TestARunOfInvitations(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.people(t)
	var sent []string
	c.post = func(kind, to, _ string) error { sent = append(sent, kind+" "+to); return nil }
	some := access.Invitees{IDs: []string{"a", "b", "account", "dead", "inactive", "lately", "pu-2"}}
	for what, x := range map[string]struct {
		who     access.Invitees
		invited int
		skipped map[string]int
	}{
		"some": {some, 2, map[string]int{"has_account": 1, "address_dead": 1, "inactive": 1, "invited_lately": 1, "no_address": 1}},
		"all":  {access.Invitees{Everyone: true}, 3, map[string]int{"address_dead": 1, "invited_lately": 1}},
	} {
		if invited, skipped, err := c.gate.CountInvitees(t.Context(), x.who); err != nil || invited != x.invited || !cmp.Equal(skipped, x.skipped) {
			t.Errorf("%s: %d, %v, %v", what, invited, skipped, err)
		}
	}
	run := c.start(t, some)
	if r := c.run1(t, run); r.Waiting != 7 || r.Status != "running" {
		t.Errorf("before: %+v", r)
	}
	for range 2 {
		if err := c.SendInvitations(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(sent, ", "); got != "invitation a@x.example, invitation b@x.example" {
		t.Error(got)
	}
	r := c.run1(t, run)
	if r.Status != "finished" || r.Sent != 2 || r.Waiting+r.Failed+r.Unknown != 0 ||
		!cmp.Equal(r.Skipped, map[string]int{"has_account": 1, "address_dead": 1, "inactive": 1, "invited_lately": 1, "no_address": 1}) {
		t.Errorf("after: %+v", r)
	}
	c.recording.Lock()
	defer c.recording.Unlock()
	if last := c.said[len(c.said)-1]; !strings.HasSuffix(last, ": 2 sent, 5 skipped") {
		t.Error(last)
	}
	if _, err := c.gate.StartInvitations(t.Context(), "staff:ada", some); !errors.Is(err, access.ErrNoOneToInvite) {
		t.Errorf("started again at once: %v", err)
	}
	for _, wrong := range []access.Invitees{{}, {IDs: []string{"nobody"}}, {IDs: []string{"a"}, Everyone: true}, {IDs: []string{"\x00"}}} {
		if _, err := c.gate.StartInvitations(t.Context(), "staff:ada", wrong); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

// A process that is killed between making a link and storing that its e-mail was handed over leaves
// the person unknown: the next one goes on with the others, and sends no second e-mail.
func TestARunGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.people(t)
	run := c.start(t, access.Invitees{IDs: []string{"a", "b"}})
	next, err := c.gate.NextInvitation(t.Context())
	if err != nil || next.PortalUserID != "a" {
		t.Fatalf("%+v, %v", next, err)
	}
	if _, skip, err := c.gate.LinkInRun(t.Context(), next); err != nil || skip != "" {
		t.Fatalf("%s, %v", skip, err)
	}
	// Here the process is killed, before or after its e-mail went out.
	var sent []string
	c.post = func(_, to, _ string) error { sent = append(sent, to); return nil }
	if err := c.SendInvitations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := c.run1(t, run); strings.Join(sent, " ") != "b@x.example" || r.Sent != 1 || r.Unknown != 1 || r.Status != "finished" {
		t.Errorf("%v; %+v", sent, r)
	}
}

// lost is an answer of the e-mail service that never came.
type lost struct{ busy }

func (lost) MaybeSent() bool { return true }

// While the service is away, people wait; an answer that is lost is unknown, and a refusal has
// failed. None gets a second e-mail.
func TestTheServiceAnswersARun(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.people(t)
	run := c.start(t, access.Invitees{IDs: []string{"a", "b", "pu-1"}})
	tries := map[string]int{}
	answers := map[string][]error{"noor@home.example": {busy{}, busy{}, nil}, "a@x.example": {lost{}}, "b@x.example": {errors.New("refused")}}
	c.post = func(_, to, _ string) error {
		tries[to]++
		return answers[to][tries[to]-1]
	}
	for i := range 3 {
		if err := c.SendInvitations(t.Context()); (err != nil) != (i < 2) {
			t.Errorf("round %d: %v", i, err)
		}
		c.ahead += time.Minute
	}
	r := c.run1(t, run)
	if r.Sent != 1 || r.Unknown != 1 || r.Failed != 1 || r.Status != "finished" || !cmp.Equal(tries, map[string]int{"noor@home.example": 3, "a@x.example": 1, "b@x.example": 1}) {
		t.Errorf("%+v; %v", r, tries)
	}
}

// A run that is cancelled sends nothing more. Another invites those who were not.
func TestARunIsCancelled(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.people(t)
	run := c.start(t, access.Invitees{IDs: []string{"a", "b"}})
	var sent []string
	c.post = func(_, to, _ string) error {
		sent = append(sent, to)
		if len(sent) == 1 {
			return c.gate.CancelInvitations(t.Context(), "staff:ada", run)
		}
		return nil
	}
	if err := c.SendInvitations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := c.run1(t, run); r.Status != "cancelled" || r.Sent != 1 || r.Waiting != 1 || len(sent) != 1 {
		t.Errorf("%v; %+v", sent, r)
	}
	if err := c.gate.CancelInvitations(t.Context(), "staff:ada", run); !errors.Is(err, access.ErrRunEnded) {
		t.Errorf("again: %v", err)
	}
	if err := c.gate.CancelInvitations(t.Context(), "staff:ada", uuid.New()); !errors.Is(err, access.ErrNoRun) {
		t.Errorf("another: %v", err)
	}
	c.start(t, access.Invitees{IDs: []string{"a", "b"}})
	if err := c.SendInvitations(t.Context()); err != nil || strings.Join(sent, " ") != "a@x.example b@x.example" {
		t.Errorf("%v, %v", sent, err)
	}
}
