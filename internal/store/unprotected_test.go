package store

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/certificate/certificatetest"
)

// A connection to another machine is protected if the server's certificate is checked.
func TestUnprotected(t *testing.T) {
	authority := "&sslrootcert=" + url.QueryEscape(certificatetest.New(t).File)
	for address, want := range map[string]bool{
		"postgres:///d?host=/run/postgresql": false, "postgres://localhost/d": false, "postgres://127.0.0.1/d?sslmode=disable": false, "postgres://[::1]/d": false,
		"postgres://db.example/d": true, "postgres://10.0.0.1/d?sslmode=disable": true, "postgres://db.example/d?sslmode=require": true,
		"postgres://db.example/d?sslmode=verify-full" + authority: false, "postgres://db.example/d?sslmode=verify-ca" + authority: false,
		"postgres://127.0.0.1,db.example/d?sslmode=disable": true,
	} {
		cfg, err := pgconn.ParseConfig(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := unprotected(cfg); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
