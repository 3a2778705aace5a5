package deploy

import (
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/internal/certificate/certificatetest"
	"postern/internal/store/tlstest"
)

// authorities has the authority of each test that asked for one.
var authorities sync.Map

// authority returns the test's authority.
func authority(t *testing.T) *certificatetest.Authority {
	t.Helper()
	if found, ok := authorities.Load(t); ok {
		return found.(*certificatetest.Authority)
	}
	made := certificatetest.New(t)
	authorities.Store(t, made)
	return made
}

// startPostgres starts a Postgres with the pg_hba.conf of the container, and the users of
// roles.sql.
func startPostgres(t *testing.T) *tlstest.Server {
	t.Helper()
	s := tlstest.Start(t, read(t, "pg_hba.conf"), authority(t).File)
	s.Certify(authority(t).Issue(t, "postgres", "127.0.0.1"))
	runRoles(t, s.URL())
	s.Exec(`ALTER ROLE postern PASSWORD '` + filled(t)["POSTGRES_PASSWORD"] + `'`)
	return s
}

// overTLS returns a DATABASE_URL of docker-compose.yml for the server of the test.
func overTLS(t *testing.T, s *tlstest.Server, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("sslrootcert", authority(t).File)
	u.Host, u.RawQuery = s.Address, query.Encode()
	return u.String()
}

// The Postgres of docker-compose.yml lets each user in with its password, over TLS, and no one
// otherwise.
func TestPostgresAcceptsEncryptedConnectionsAlone(t *testing.T) {
	s := startPostgres(t)
	p := project(t)
	for _, name := range []string{"api", "fanout-worker", "notify-worker", "recorder", "migrate"} {
		right := overTLS(t, s, *p.Services[name].Environment["DATABASE_URL"])
		conn, err := pgx.Connect(t.Context(), right)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = conn.Close(t.Context())
		for what, wrong := range map[string]string{
			"unencrypted":         strings.Replace(right, "sslmode=verify-full", "sslmode=disable", 1),
			"with a wrong secret": strings.Replace(right, ":p0123", ":p3210", 1),
		} {
			if conn, err := pgx.Connect(t.Context(), wrong); err == nil {
				t.Errorf("%s is let in %s", name, what)
				_ = conn.Close(t.Context())
			}
		}
	}
	command := strings.Join(p.Services["postgres"].Command, " ")
	for _, setting := range []string{"ssl=on", "ssl_cert_file=/certificate/certificate.pem", "ssl_key_file=/certificate/key.pem", "hba_file=/etc/postgresql/pg_hba.conf"} {
		if !strings.Contains(command, "-c "+setting) {
			t.Errorf("the server is started without %s", setting)
		}
	}
}
