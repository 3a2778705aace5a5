package cli

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
)

// `postern up` records the API tokens of versions before 0.3 at its start, and they work again.
func TestUpRecordsTokensOfEarlierVersions(t *testing.T) {
	p := newSystem(t)
	p.must("staff", "create", "--email", "ada@clinic.test", "--name", "Ada")
	token := p.must("token", "create", "--staff", "ada@clinic.test")
	env := &environment{in: strings.NewReader(""), out: &bytes.Buffer{}, errs: &bytes.Buffer{}, data: p.data}
	if err := env.with(context.Background(), func(s *system) error { // as migration 105 leaves it
		_, err := s.pool.Exec(context.Background(), `UPDATE app.staff_tokens SET token_id = gen_random_uuid(), earlier_until = now() + interval '90 days'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if out := p.must("token", "list"); out != "" {
		t.Errorf("before it is recorded, the list says %s", out)
	}
	u := &used{postern: p, token: token}
	u.whileUp(func(url string) {
		u.eventually("the token is recorded", func() bool { return strings.Contains(p.must("token", "list"), "made before version 0.3") })
		var me struct{ Name string }
		if u.ask(http.MethodGet, url+"/v1/session", "", &me); me.Name != "Ada" {
			t.Errorf("it stands for %q", me.Name)
		}
	})
}
