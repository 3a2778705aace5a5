package letter_test

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// readdress gives pu-1, who has an account, another address.
func (c *clinic) readdress(t *testing.T, email string) {
	t.Helper()
	if _, err := c.admin.Exec(t.Context(), `INSERT INTO app.portal_accounts (portal_user_no, password_hash)
		SELECT portal_user_no, 'x' FROM app.portal_users WHERE portal_user_id = 'pu-1' ON CONFLICT DO NOTHING`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.Exec(t.Context(), `UPDATE app.portal_users SET email = $1, email_version = email_version + 1 WHERE portal_user_id = 'pu-1'`, email); err != nil {
		t.Fatal(err)
	}
	c.ahead += time.Minute // the database's clock may be ahead
}

// notices returns the states of all notices, and the addresses that are still stored.
func (c *clinic) notices(t *testing.T) (states string) {
	t.Helper()
	if err := c.admin.QueryRow(t.Context(), `SELECT coalesce(string_agg(notice || ':' || former, ' ' ORDER BY address_version), '')
		FROM app.address_changes WHERE recorded_at IS NOT NULL`).Scan(&states); err != nil {
		t.Fatal(err)
	}
	return states
}

// A former address is told once, and then deleted. While the e-mail service is away, it waits, also
// over a restart: nothing is kept in memory.
func TestAFormerAddressIsTold(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	var sent []string
	var away error = busy{}
	c.post = func(kind, to, link string) error {
		sent = append(sent, kind+" "+to+link)
		return away
	}
	c.readdress(t, "new@home.example")
	for range 2 { // the second finds nothing due
		if err := c.TellFormerAddresses(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(sent, ", "); got != "portal address changed noor@home.example" || c.notices(t) != "waiting:noor@home.example" {
		t.Errorf("%s; %s", got, c.notices(t))
	}
	away = nil
	c.ahead += time.Hour
	for range 2 {
		if err := c.TellFormerAddresses(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(sent) != 2 || c.notices(t) != "sent:" {
		t.Errorf("%q; %s", sent, c.notices(t))
	}
	c.counted(t, "failed", 1)
	c.counted(t, "sent", 1)
}

// A notice that the service never accepts is given up after three days. The log names the person,
// and no address.
func TestANoticeIsGivenUp(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.post = func(string, string, string) error { return errors.New("the address was refused") }
	c.readdress(t, "new@home.example")
	for range 80 {
		if err := c.TellFormerAddresses(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.ahead += time.Hour
	}
	if got := c.notices(t); got != "given_up:" {
		t.Error(got)
	}
	last := ""
	for len(c.logs) > 0 {
		last = <-c.logs
		if strings.Contains(last, "home.example") {
			t.Errorf("the log has an address: %s", last)
		}
	}
	if !strings.Contains(last, "portal_user_id=pu-1") || !strings.Contains(last, "tell the person by other means") {
		t.Errorf("the log ends with %s", last)
	}
	c.counted(t, "given_up", 1)
}
