package unsubscribe

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func key(t interface{ Fatal(...any) }, fill string) Key {
	k, err := NewKey([]byte(strings.Repeat(fill, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A token has one size and says nothing. It is read back with its key alone, for its address in any
// case, and a changed token is not read.
func TestTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := key(t, "k")
		no, email := rapid.Int32Range(1, 1<<31-1).Draw(t, "no"), rapid.String().Draw(t, "email")
		token := string(k.Append(nil, no, email))
		if len(token) != TokenSize {
			t.Fatalf("%q has %d characters", token, len(token))
		}
		got, hash, ok := k.open(token)
		if !ok || got != no || hash != hashOf(strings.ToUpper(strings.ToLower(email))) && hash != hashOf(email) {
			t.Fatalf("%s is read as %d, %x, %v", token, got, hash, ok)
		}
		if _, _, ok := key(t, "l").open(token); ok {
			t.Fatal("it is read with another key")
		}
		at := rapid.IntRange(0, TokenSize-2).Draw(t, "at") // the last character has bits that must be 0
		other := rapid.SampledFrom([]byte("AZaz09-_")).Draw(t, "character")
		if changed := token[:at] + string(other) + token[at+1:]; changed != token {
			if no2, hash2, ok := k.open(changed); ok && no2 == no && hash2 == hash {
				t.Fatalf("%s is read as %s", changed, token)
			}
		}
	})
	if a, b := hashOf("Ana@X.example"), hashOf("ana@x.example"); a != b {
		t.Error("the case of an address counts")
	}
	for _, wrong := range []string{"", "x", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("/", 22)} {
		if _, _, ok := key(t, "k").open(wrong); ok {
			t.Errorf("%q is read", wrong)
		}
	}
}

// clinic returns OptOuts whose events are projected at once, and the events.
func clinic(t *testing.T) (*OptOuts, func(sql string), *[]string) {
	t.Helper()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ('ana', 'Ana', 'ana@x.example', true), ('bo', 'Bo', 'ana@x.example', true)`)
	said := &[]string{}
	o := New(Config{Pool: storetest.Open(t, url, store.RoleAPI), Facts: facts.Publisher{Source: "/api", Send: func(_ context.Context, all ...events.Event) (uint64, error) {
		for _, e := range all {
			b, err := events.Decode[events.OptOut](e)
			if err != nil {
				return 0, err
			}
			*said = append(*said, events.Summary(e, nil))
			if b.Out {
				_, err = admin.Exec(t.Context(), `INSERT INTO record.alert_opt_outs VALUES ($1, $2, $3)`, b.PortalUserNo, string(b.How), e.Time)
			} else {
				_, err = admin.Exec(t.Context(), `DELETE FROM record.alert_opt_outs WHERE portal_user_no = $1`, b.PortalUserNo)
			}
			if err != nil {
				return 0, err
			}
		}
		return 1, nil
	}}})
	return o, exec, said
}

// A link opts its own portal user out, once, and no one else at the same address. Looking at it
// changes nothing. Only its owner, signed in, takes it back.
func TestOptOutByLinkAndInAgain(t *testing.T) {
	t.Parallel()
	o, _, said := clinic(t)
	k, err := LoadKey(t.Context(), o.cfg.Pool)
	if err != nil {
		t.Fatal(err)
	}
	link := string(k.Append(nil, 1, "ana@x.example"))
	for range 2 {
		if out, err := o.Check(t.Context(), link); out || err != nil {
			t.Fatalf("%v, %v", out, err)
		}
	}
	for range 2 {
		if err := o.ByLink(t.Context(), link); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := o.Check(t.Context(), link); !out || err != nil {
		t.Errorf("%v, %v", out, err)
	}
	if since, err := o.SinceByID(t.Context(), "bo"); since != nil || err != nil {
		t.Errorf("bo opted out at %v, %v", since, err)
	}
	for range 2 {
		if err := o.InPortal(t.Context(), "portal_user:ana", "ana", 1, false); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{
		"The process api turned off e-mails about new messages for portal user ana, with the link of an e-mail",
		"Portal user ana turned on e-mails about new messages for portal user ana",
	}, *said); diff != "" {
		t.Errorf("(-want +recorded):\n%s", diff)
	}
}

// The link of an e-mail to a former address does nothing, and an opt-out outlives the address.
func TestAnotherAddress(t *testing.T) {
	t.Parallel()
	o, exec, _ := clinic(t)
	k, err := LoadKey(t.Context(), o.cfg.Pool)
	if err != nil {
		t.Fatal(err)
	}
	ana, bo := string(k.Append(nil, 1, "ana@x.example")), string(k.Append(nil, 2, "ana@x.example"))
	if err := o.ByLink(t.Context(), bo); err != nil {
		t.Fatal(err)
	}
	exec(`UPDATE app.portal_users SET email = portal_user_id || '@y.example', email_version = 1`)
	for what, link := range map[string]string{"of a former address": ana, "made up": strings.Repeat("A", TokenSize), "of no one": string(k.Append(nil, 99, "x"))} {
		if err := o.ByLink(t.Context(), link); !errors.Is(err, ErrLink) {
			t.Errorf("a link %s: %v", what, err)
		}
		if _, err := o.Check(t.Context(), link); !errors.Is(err, ErrLink) {
			t.Errorf("a look at a link %s: %v", what, err)
		}
	}
	if since, err := o.SinceByID(t.Context(), "bo"); since == nil || err != nil {
		t.Errorf("after another address: %v, %v", since, err)
	}
}
