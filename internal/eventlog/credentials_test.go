package eventlog_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
)

// identity is a key with its public part.
type identity struct {
	nkeys.KeyPair
	public string
}

func newIdentity(t *testing.T, make func() (nkeys.KeyPair, error)) identity {
	t.Helper()
	pair, err := make()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return identity{pair, public}
}

// A server of accounts lets in who has credentials, and no one else.
func TestCredentials(t *testing.T) {
	operator, account, system, user := newIdentity(t, nkeys.CreateOperator), newIdentity(t, nkeys.CreateAccount), newIdentity(t, nkeys.CreateAccount), newIdentity(t, nkeys.CreateUser)
	resolver := &server.MemAccResolver{}
	for _, a := range []identity{account, system} {
		signed, err := jwt.NewAccountClaims(a.public).Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolver.Store(a.public, signed); err != nil {
			t.Fatal(err)
		}
	}
	claims := jwt.NewOperatorClaims(operator.public)
	url := natstest.Start(t, natstest.Listening(), func(c *embedded.NATSConfig) {
		c.Adjust = func(o *server.Options) {
			o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{claims}, resolver, system.public
		}
	}).ClientURL("")

	signed, err := jwt.NewUserClaims(user.public).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := jwt.FormatUserConfig(signed, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "api.creds")
	if err := os.WriteFile(file, credentials, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Connect(eventlogtest.Within(t, time.Minute), eventlog.Config{URL: url, CredentialsFile: file})
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	if log, logged, err := connect(t, eventlog.Config{URL: url}, "Authorization Violation"); err == nil {
		t.Errorf("without credentials it connects: %s", logged)
		log.Close()
	}
}
