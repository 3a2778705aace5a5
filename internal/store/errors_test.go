package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// An error is one of three kinds, or none; only refused data is two of them.
func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	refused := func(code string) error { return fmt.Errorf("writing: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err                               error
		transient, refusedData, permanent bool
	}{
		{err: nil},
		{err: pgx.ErrNoRows},
		{err: errors.New("the event says nothing")},
		{err: refused("")},
		{err: refused("08006"), transient: true},
		{err: refused("40P01"), transient: true}, // deadlock
		{err: refused("53300"), transient: true}, // too many connections
		{err: refused("57P01"), transient: true}, // shutdown
		{err: refused("58030"), transient: true}, // the disk fails
		{err: fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), transient: true},
		{err: &net.OpError{Op: "read", Err: net.ErrClosed}, transient: true},
		{err: fmt.Errorf("waiting: %w", context.DeadlineExceeded), transient: true},
		{err: context.Canceled, transient: true},
		{err: refused(store.CharacterNotInRepertoire), refusedData: true, permanent: true},
		{err: refused("23514"), refusedData: true, permanent: true}, // a CHECK
		{err: refused(store.InsufficientPrivilege), permanent: true},
		{err: refused("25P02")}, // the transaction failed before
		{err: refused("28P01")}, // the password is wrong
	} {
		if got := store.Transient(c.err); got != c.transient {
			t.Errorf("%v: transient is %v", c.err, got)
		}
		if got := store.RefusedData(c.err); got != c.refusedData {
			t.Errorf("%v: refused data is %v", c.err, got)
		}
		if got := store.Permanent(c.err); got != c.permanent {
			t.Errorf("%v: permanent is %v", c.err, got)
		}
	}
}

// A server that is not there, and one that ends our session, are transient.
func TestAServerThatIsAwayIsTransient(t *testing.T) {
	t.Parallel()
	if _, err := pgx.Connect(t.Context(), "postgres://127.0.0.1:1/none"); !store.Transient(err) {
		t.Errorf("no server: %v", err)
	}
	pool := storetest.Pool(t, store.RoleAdmin)
	if _, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`); !store.Transient(err) {
		t.Errorf("a session that was ended: %v", err)
	}
}
