package store_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"postern/internal/certificate/certificatetest"
	"postern/internal/giveup"
	"postern/internal/store"
	"postern/internal/store/tlstest"
)

// Connections are encrypted, and each failure says which parameter to correct.
func TestTLS(t *testing.T) {
	ours, theirs := certificatetest.New(t), certificatetest.New(t)
	clientCert, clientKey := ours.Issue(t, "client")
	strangeCert, strangeKey := theirs.Issue(t, "client")
	s := tlstest.Start(t, "local all all trust\nhostssl all client all trust clientcert=verify-full\nhostssl all app all trust\n", ours.File)
	s.Exec(`CREATE ROLE app LOGIN`, `CREATE ROLE client LOGIN`)
	s.Certify(ours.Issue(t, "127.0.0.1"))
	address := func(user, authority string, more ...string) string {
		query := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {authority}}
		if len(more) == 2 {
			query.Set("sslcert", more[0])
			query.Set("sslkey", more[1])
		}
		return (&url.URL{Scheme: "postgres", User: url.User(user), Host: s.Address, Path: "/postern", RawQuery: query.Encode()}).String()
	}
	check := func(name, databaseURL, says string) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), giveup.After)
		defer stop()
		said := make(lines, 100)
		opened := make(chan error, 1)
		go func() {
			pool, err := store.Open(ctx, databaseURL, store.RoleAdmin, 1, said.logger())
			if err == nil {
				_, err = pool.Exec(ctx, `DO $$ BEGIN ASSERT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()); END $$`)
				pool.Close()
			}
			opened <- err
		}()
		for {
			select {
			case err := <-opened:
				if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %v", name, err)
				}
				return
			case line := <-said:
				if says != "" && strings.Contains(line, says) {
					stop()
					<-opened
					return
				}
			}
		}
	}
	check("right", address("app", ours.File), "")
	check("with a client certificate", address("client", ours.File, clientCert, clientKey), "")
	check("an unknown authority", address("app", theirs.File), "name the file with the right one in sslrootcert of DATABASE_URL")
	check("no client certificate", address("client", ours.File), "set sslcert of DATABASE_URL and sslkey of DATABASE_URL")
	check("a client certificate of others", address("client", ours.File, strangeCert, strangeKey), "the server refuses the certificate in sslcert of DATABASE_URL")
	s.Certify(ours.Issue(t, "postgres.clinic.example"))
	check("another name", address("app", ours.File), "use one of its names in DATABASE_URL")
	s.Certify(ours.IssueExpired(t, "127.0.0.1"))
	check("an expired certificate", address("app", ours.File), "renew it")
	s.Uncertify()
	check("a server without TLS", address("app", ours.File), "the server does not offer TLS")
}
