package access

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"
)

// A changed address ends sessions and links. The former address is returned, so that it
// can be told. No address is on the record.
func TestChangeStaff(t *testing.T) {
	s := newSite(t)
	boss := s.hire(t, "boss@clinic.example", policy.ManageStaff)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", ada.Email, good)
	change := func(name, email string) (string, error) {
		c := StaffChange{&name, &email}
		return s.ChangeStaff(t.Context(), boss.subject().Actor(), ada.ID, c)
	}

	before := s.rec.count()
	if former, err := change("Ada Brook", ada.Email); err != nil || former != "" || s.rec.count() != before {
		t.Errorf("without a difference: %q, %v, %d events", former, err, s.rec.count()-before)
	}
	if former, err := change(" Ada Bridge ", ada.Email); err != nil || former != "" {
		t.Errorf("the name: %q, %v", former, err)
	}
	b.is("/staff", "staff:"+ada.ID)
	link := s.link(t, ada)
	if former, err := change("Ada Bridge", "bridge@clinic.example"); err != nil || former != "ada@clinic.example" {
		t.Errorf("the address: %q, %v", former, err)
	}
	b.is("/staff", "")
	if _, err := s.WhoIsInvited(t.Context(), policy.RealmStaff, link); !errors.Is(err, ErrInvitation) {
		t.Errorf("the link of before: %v", err)
	}
	if s.enters(t, "ada@clinic.example", good) || !s.enters(t, "bridge@clinic.example", good) {
		t.Error("they don't sign in with the new address alone")
	}
	by := ` by staff:` + boss.ID + `: {`
	var said []string
	for _, line := range s.rec.last(t, 99) {
		if strings.HasPrefix(line, "staff.changed") {
			said = append(said, line)
		}
	}
	want := []string{
		`staff.changed` + by + `"address_changed":false,"name":"Ada Bridge","name_changed":true,"staff_id":"` + ada.ID + `"}`,
		`staff.changed` + by + `"address_changed":true,"name":"Ada Bridge","name_changed":false,"staff_id":"` + ada.ID + `"}`,
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if strings.Contains(s.rec.all(), "clinic.example") {
		t.Error("an address is on the record")
	}
}

func TestChangesOfStaffThatAreRefused(t *testing.T) {
	c := newClinic(t)
	ada, ben := c.hire(t, "ada@clinic.example", policy.ManageStaff), c.hire(t, "ben@clinic.example")
	text := func(s string) *string { return &s }
	before := c.rec.count()
	for name, test := range map[string]struct {
		id     string
		change StaffChange
		want   []error
	}{
		"unknown":                 {"unknown", StaffChange{Name: text("X")}, []error{ErrNoStaff}},
		"one's own address":       {ada.ID, StaffChange{Email: text("other@clinic.example")}, []error{ErrOwnAddress}},
		"another's address":       {ben.ID, StaffChange{Email: text("ADA@clinic.example")}, []error{ErrStaffExists}},
		"both wrong":              {ben.ID, StaffChange{text(" "), text("nowhere")}, []error{ErrName, ErrEmail}},
		"a good name, no address": {ben.ID, StaffChange{text("Ben"), text("nowhere")}, []error{ErrEmail}},
	} {
		_, err := c.ChangeStaff(t.Context(), ada.subject().Actor(), test.id, test.change)
		for _, want := range test.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
	if c.rec.count() != before {
		t.Errorf("the record has %v", c.rec.last(t, c.rec.count()-before))
	}
	if _, err := c.ChangeStaff(t.Context(), ada.subject().Actor(), ada.ID, StaffChange{Name: text("Ada Bridge")}); err != nil {
		t.Errorf("one's own name: %v", err)
	}
	if _, err := c.ChangeStaff(t.Context(), operator, ada.ID, StaffChange{Email: text("other@clinic.example")}); err != nil {
		t.Errorf("by an operator: %v", err)
	}
}

// A crash leaves the former address, and a repeat changes it.
func TestCrashesWhileAnAddressIsChanged(t *testing.T) {
	for crash, arrange := range map[string]func(clinic, context.CancelFunc){
		"before the event is stored": func(c clinic, _ context.CancelFunc) { c.rec.failNext(errors.New("no stream")) },
		"after the event is stored":  func(c clinic, stop context.CancelFunc) { c.rec.beforeNext(stop) },
	} {
		t.Run(crash, func(t *testing.T) {
			c := newClinic(t)
			ada := c.hire(t, "ada@clinic.example")
			other := "other@clinic.example"
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			arrange(c, stop)
			if former, err := c.ChangeStaff(ctx, operator, ada.ID, StaffChange{Email: &other}); err == nil || former != "" {
				t.Fatalf("got %q, %v", former, err)
			}
			if !c.enters(t, ada.Email, good) {
				t.Error("the former address does not sign in")
			}
			if former, err := c.ChangeStaff(t.Context(), operator, ada.ID, StaffChange{Email: &other}); err != nil || former != ada.Email {
				t.Errorf("the next try: %q, %v", former, err)
			}
			if !c.enters(t, other, good) {
				t.Error("the new address does not sign in")
			}
		})
	}
}

// An account that is created with the address while it is being given to another waits,
// and then finds it taken: the recorded change takes effect.
func TestAnAddressIsGivenOnce(t *testing.T) {
	c := newClinic(t)
	ada := c.hire(t, "ada@clinic.example")
	other := "other@clinic.example"
	second := make(chan error, 1)
	c.rec.beforeNext(func() {
		go func() {
			_, err := c.CreateStaff(t.Context(), operator, NewStaff{Email: other, Name: "Another"})
			second <- err
		}()
	})
	if _, err := c.ChangeStaff(t.Context(), operator, ada.ID, StaffChange{Email: &other}); err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.Is(err, ErrStaffExists) {
		t.Errorf("the second: %v", err)
	}
}
