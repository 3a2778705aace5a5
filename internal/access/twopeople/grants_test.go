package twopeople_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/recorder/rebuild"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const operator = "operator:test"

// clinic is a system whose three administrators have been there for long.
type clinic struct {
	*composetest.System
	*access.Gate
	ann, ben, cleo policy.Subject
}

func open(t *testing.T) *clinic {
	t.Helper()
	s := composetest.New(t)
	gate, err := access.New(access.Config{Pool: s.Pool, Content: s.Content, PasswordCost: access.TestCost, TwoPersonAge: twopeople.Days(7),
		Facts: facts.Publisher{Source: "/api", Send: s.Publish, Reached: s.Position.Wait, Clock: s.Clock.Now}})
	if err != nil {
		t.Fatal(err)
	}
	c := &clinic{System: s, Gate: gate}
	c.ann, c.ben, c.cleo = c.hire(t, "Ann", operator, policy.ManageStaff), c.hire(t, "Ben", operator, policy.ManageStaff), c.hire(t, "Cleo", operator, policy.ManageStaff)
	c.Clock.Advance(twopeople.Days(8))
	return c
}

// hire creates a staff account.
func (c *clinic) hire(t *testing.T, name, actor string, permissions ...policy.Permission) policy.Subject {
	t.Helper()
	made, err := c.CreateStaff(t.Context(), actor, access.NewStaff{Email: name + "@clinic.example", Name: name, Permissions: permissions})
	if err != nil {
		t.Fatal(err)
	}
	return policy.Subject{Realm: policy.RealmStaff, ID: made.ID, Name: name, Permissions: made.Permissions}
}

// asks makes an administrator request Read the Record for a staff member.
func (c *clinic) asks(t *testing.T, who, staff policy.Subject) access.GrantRequest {
	t.Helper()
	if err := c.Permit(t.Context(), who.Actor(), staff.ID, policy.ReadRecord); err != nil {
		t.Fatal(err)
	}
	open, err := c.OpenGrantsOf(t.Context(), staff.ID)
	if err != nil || len(open) != 1 {
		t.Fatalf("%d requests are open: %v", len(open), err)
	}
	return open[0]
}

// holds reports whether a staff member has a permission.
func (c *clinic) holds(t *testing.T, staff policy.Subject, p policy.Permission) bool {
	t.Helper()
	s, err := c.StaffByID(t.Context(), staff.ID)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(s.Permissions, p)
}

// rebuilt checks that the tables equal a rebuild from the record.
func (c *clinic) rebuilt(t *testing.T) {
	t.Helper()
	c.Settle(t)
	compared, err := (&rebuild.Rebuild{Log: c.Log, Pool: c.Admin}).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range compared {
		if !table.Same() {
			t.Errorf("%s differs from a rebuild", table.Table)
		}
	}
}

// Giving a permission that takes two people: who requests it, for whom, and who approves.
func TestWhoGivesAPermissionThatTakesTwo(t *testing.T) {
	t.Parallel()
	c := open(t)
	novice := c.hire(t, "Noel", operator)
	young := c.hire(t, "Yves", c.ann.Actor(), policy.ManageStaff)
	for _, test := range []struct {
		name            string
		asks, staff, ok policy.Subject
		refused         []policy.Subject
	}{
		{"for a third person", c.ann, novice, c.ben, []policy.Subject{c.ann, novice, young}},
		{"for the requester", c.ann, c.ann, c.cleo, []policy.Subject{c.ann, young}},
		{"for another administrator", c.ann, c.ben, c.cleo, []policy.Subject{c.ann, c.ben}},
		{"requested by a new administrator", young, novice, policy.Subject{}, []policy.Subject{c.ann, c.ben, young}},
	} {
		r := c.asks(t, test.asks, test.staff)
		if c.holds(t, test.staff, policy.ReadRecord) {
			t.Fatalf("%s: the request alone gives it", test.name)
		}
		for _, who := range test.refused {
			if _, err := c.ApproveGrant(t.Context(), who.Actor(), r.ID); !errors.As(err, new(twopeople.NotTwo)) {
				t.Errorf("%s: %s approves it: %v", test.name, who.Name, err)
			}
		}
		approver := test.ok.Actor()
		if test.ok.ID == "" {
			approver = operator // the command line is the second person
		}
		done, err := c.ApproveGrant(t.Context(), approver, r.ID)
		if err != nil || done.State != access.GrantApproved || *done.SettledBy != approver || !c.holds(t, test.staff, policy.ReadRecord) {
			t.Errorf("%s: %s approves it: %+v, %v", test.name, approver, done, err)
		}
		if _, err := c.ApproveGrant(t.Context(), operator, r.ID); !errors.Is(err, access.ErrGrantSettled) {
			t.Errorf("%s: approved twice: %v", test.name, err)
		}
		var by, requester string
		if err := c.Admin.QueryRow(t.Context(), `SELECT granted_by, requested_by FROM record.staff_permissions WHERE staff_id = $1 AND permission = 'read_record'`,
			test.staff.ID).Scan(&by, &requester); err != nil || by != approver || requester != test.asks.Actor() {
			t.Errorf("%s: the record says that %s gave it and %s requested it: %v", test.name, by, requester, err)
		}
		if err := c.Forbid(t.Context(), c.cleo.Actor(), test.staff.ID, policy.ReadRecord); err != nil || c.holds(t, test.staff, policy.ReadRecord) {
			t.Errorf("%s: taking it away takes one person: %v", test.name, err)
		}
	}
	c.rebuilt(t)
}

// Other permissions are given at once, and so is every permission at the command line. A request
// is made once.
func TestWhatIsGivenAtOnce(t *testing.T) {
	t.Parallel()
	c := open(t)
	novice := c.hire(t, "Noel", c.ann.Actor(), policy.SendPortalMessage, policy.EraseMessageContent, policy.EraseMessageContent)
	if !c.holds(t, novice, policy.SendPortalMessage) || c.holds(t, novice, policy.EraseMessageContent) {
		t.Error("a new account has the wrong permissions")
	}
	for range 2 {
		if err := c.SetPermissions(t.Context(), c.ben.Actor(), novice.ID, policy.EraseMessageContent, policy.ReadRecord, policy.ManageLabels); err != nil {
			t.Fatal(err)
		}
	}
	open, err := c.OpenGrantsOf(t.Context(), novice.ID)
	if err != nil || len(open) != 2 || open[0].Because != events.BecauseNewStaff || open[0].RequestedBy != c.ann.Actor() ||
		open[1].Permission != policy.ReadRecord || open[1].Because != events.BecauseAsked {
		t.Errorf("the requests are %+v: %v", open, err)
	}
	if !c.holds(t, novice, policy.ManageLabels) || c.holds(t, novice, policy.ReadRecord) {
		t.Error("the wrong permissions were given at once")
	}
	if err := c.Permit(t.Context(), operator, novice.ID, policy.ReadRecord, policy.EraseMessageContent); err != nil || !c.holds(t, novice, policy.ReadRecord) {
		t.Errorf("at the command line: %v", err)
	}
	c.rebuilt(t)
}

// An administrator who changes how a staff member signs in could sign in as them. So the
// permissions that take two people wait for another administrator again, and the account is
// no second person for a week. Nothing of this happens at the command line.
func TestATakenOverAccountReadsAndApprovesNothing(t *testing.T) {
	t.Parallel()
	for name, takeOver := range map[string]func(*clinic, *testing.T, string, policy.Subject) error{
		"address": func(c *clinic, t *testing.T, actor string, who policy.Subject) error {
			other := uuid.NewString() + "@clinic.example"
			_, err := c.ChangeStaff(t.Context(), actor, who.ID, access.StaffChange{Email: &other})
			return err
		},
		"factor": func(c *clinic, t *testing.T, actor string, who policy.Subject) error {
			c.Record(t, who.Actor(), events.SecondFactor{What: events.FactorAdded, Change: uuid.New(), Account: "staff", ID: who.ID, Kind: events.FactorApp})
			return c.ResetFactor(t.Context(), actor, who.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			if err := c.Permit(t.Context(), operator, c.ben.ID, policy.ReadRecord, policy.SendPortalMessage); err != nil {
				t.Fatal(err)
			}
			if err := takeOver(c, t, operator, c.ben); err != nil || !c.holds(t, c.ben, policy.ReadRecord) {
				t.Fatalf("by an operator: %v", err)
			}
			if err := takeOver(c, t, c.ann.Actor(), c.ben); err != nil {
				t.Fatal(err)
			}
			if c.holds(t, c.ben, policy.ReadRecord) || !c.holds(t, c.ben, policy.SendPortalMessage) || !c.holds(t, c.ben, policy.ManageStaff) {
				t.Error("the wrong permissions were taken away")
			}
			again, err := c.OpenGrantsOf(t.Context(), c.ben.ID)
			if err != nil || len(again) != 1 || again[0].RequestedBy != c.ann.Actor() || again[0].Because == events.BecauseAsked {
				t.Fatalf("the requests are %+v: %v", again, err)
			}
			mine := c.asks(t, c.ann, c.ann)
			var not twopeople.NotTwo
			if _, err := c.ApproveGrant(t.Context(), c.ben.Actor(), mine.ID); !errors.As(err, &not) || !slices.Equal(not.Others, []string{"Cleo"}) {
				t.Errorf("the account approves: %v", err)
			}
			if _, err := c.ApproveGrant(t.Context(), c.cleo.Actor(), again[0].ID); err != nil || !c.holds(t, c.ben, policy.ReadRecord) {
				t.Errorf("another administrator gives it back: %v", err)
			}
			// After a week it counts again.
			c.Clock.Advance(not.Until.Sub(c.Clock.Now()))
			if _, err := c.ApproveGrant(t.Context(), c.ben.Actor(), mine.ID); err != nil {
				t.Errorf("after a week: %v", err)
			}
			c.rebuilt(t)
		})
	}
}

// A request ends after thirty days, when it is withdrawn, and with the account of either person.
// Another one can be made then.
func TestARequestEnds(t *testing.T) {
	t.Parallel()
	c := open(t)
	for name, test := range map[string]struct {
		end  func(r access.GrantRequest, asker, staff policy.Subject) error
		want access.GrantState
	}{
		"withdrawn": {func(r access.GrantRequest, asker, _ policy.Subject) error {
			_, err := c.WithdrawGrant(t.Context(), asker.Actor(), r.ID)
			return err
		}, access.GrantWithdrawn},
		"rejected by its staff member": {func(r access.GrantRequest, _, staff policy.Subject) error {
			_, err := c.WithdrawGrant(t.Context(), staff.Actor(), r.ID)
			return err
		}, access.GrantWithdrawn},
		"expired": {func(access.GrantRequest, policy.Subject, policy.Subject) error {
			c.Clock.Advance(30 * 24 * time.Hour)
			return nil
		}, access.GrantExpired},
		"their account is disabled": {func(_ access.GrantRequest, _, staff policy.Subject) error {
			return errors.Join(c.Disable(t.Context(), operator, staff.ID), c.Enable(t.Context(), operator, staff.ID))
		}, access.GrantAccountDisabled},
		"the requester's account is disabled": {func(_ access.GrantRequest, asker, _ policy.Subject) error {
			return errors.Join(c.Disable(t.Context(), operator, asker.ID), c.Enable(t.Context(), operator, asker.ID))
		}, access.GrantAccountDisabled},
	} {
		asker, staff := c.hire(t, uuid.NewString(), operator, policy.ManageStaff), c.hire(t, uuid.NewString(), operator)
		r := c.asks(t, asker, staff)
		if err := test.end(r, asker, staff); err != nil {
			t.Fatal(err)
		}
		if r, err := c.GrantByID(t.Context(), r.ID); err != nil || r.State != test.want {
			t.Errorf("%s: it is %s: %v", name, r.State, err)
		}
		if _, err := c.ApproveGrant(t.Context(), operator, r.ID); !errors.Is(err, access.ErrGrantSettled) {
			t.Errorf("%s: it can be approved: %v", name, err)
		}
		if again := c.asks(t, asker, staff); again.ID == r.ID {
			t.Errorf("%s: no other request was made", name)
		}
	}
	c.rebuilt(t)
}

// Of approvals and a withdrawal at once, one counts. While the record can't be written, nothing
// changes.
func TestOneOfManySettlesARequest(t *testing.T) {
	t.Parallel()
	c := open(t)
	novice := c.hire(t, "Noel", operator)
	r := c.asks(t, c.ann, novice)
	c.Break(&composetest.Fault{Err: errors.New("NATS is away")})
	if _, err := c.ApproveGrant(t.Context(), c.ben.Actor(), r.ID); err == nil || c.holds(t, novice, policy.ReadRecord) {
		t.Errorf("without the record: %v", err)
	}
	c.Break(nil)
	settles := []func() error{
		func() error { _, err := c.ApproveGrant(t.Context(), c.ben.Actor(), r.ID); return err },
		func() error { _, err := c.ApproveGrant(t.Context(), c.cleo.Actor(), r.ID); return err },
		func() error { _, err := c.WithdrawGrant(t.Context(), c.ann.Actor(), r.ID); return err },
	}
	errs := make([]error, len(settles))
	var all sync.WaitGroup
	for i, settle := range settles {
		all.Go(func() { errs[i] = settle() })
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !errors.Is(err, access.ErrGrantSettled) {
			t.Errorf("another returned %v", err)
		}
	}
	after, err := c.GrantByID(t.Context(), r.ID)
	if err != nil || done != 1 || (after.State == access.GrantApproved) != c.holds(t, novice, policy.ReadRecord) {
		t.Errorf("%d settled it, and it is %s: %v", done, after.State, err)
	}
	c.rebuilt(t)
}

// The recorder gives nothing for an approval by the requester, by the staff member whom the
// permission is for, of another request, or of none, whichever process published it.
func TestForgedApprovalsGiveNothing(t *testing.T) {
	t.Parallel()
	c := open(t)
	novice := c.hire(t, "Noel", operator)
	r := c.asks(t, c.ann, novice)
	unknown := uuid.New()
	for actor, forged := range map[string]events.PermissionChanged{
		c.ann.Actor():   {Request: &r.ID, RequestedBy: c.ann.Actor()},
		novice.Actor():  {Request: &r.ID, RequestedBy: c.ann.Actor()},
		c.ben.Actor():   {Request: &r.ID, RequestedBy: c.cleo.Actor()}, // who requested nothing
		c.cleo.Actor():  {Request: &unknown, RequestedBy: c.ann.Actor()},
		"operator:else": {Request: &r.ID, RequestedBy: "operator:else"},
	} {
		forged.Granted, forged.Change, forged.StaffID, forged.Permission = true, uuid.New(), novice.ID, string(policy.ReadRecord)
		c.Record(t, actor, forged)
		if c.holds(t, novice, policy.ReadRecord) {
			t.Fatalf("an approval by %s gives it", actor)
		}
	}
	if r, err := c.GrantByID(t.Context(), r.ID); err != nil || r.State != access.GrantRequested {
		t.Errorf("it is %s: %v", r.State, err)
	}
	c.rebuilt(t)
}
