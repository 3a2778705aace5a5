package store

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes that we tell apart, by PostgreSQL's names for them
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	CharacterNotInRepertoire = "22021" // text with a zero byte, or that is not UTF-8
	UniqueViolation          = "23505"
	InsufficientPrivilege    = "42501"
	UndefinedTable           = "42P01"
	CannotConnectNow         = "57P03" // the server starts, recovers or stops
)

// The classes of SQLSTATE, its first two characters.
const (
	connectionException  = "08"
	dataException        = "22"
	integrityViolation   = "23"
	invalidAuthorization = "28"
	transactionRollback  = "40" // deadlock, serialization failure
	syntaxOrAccess       = "42"
	insufficientResource = "53" // no memory, disk or connection is left
	operatorIntervention = "57" // restart, shutdown, cancelled
	systemError          = "58"
)

// Code returns the SQLSTATE of an error from Postgres, "" if err is none.
func Code(err error) string {
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// inClass reports whether err is from Postgres, with a code of one of the classes.
func inClass(err error, classes ...string) bool {
	code := Code(err)
	return len(code) == 5 && slices.Contains(classes, code[:2])
}

// Transient reports whether a retry may succeed: Postgres can't be reached, is stopping, is
// overloaded or rolled this transaction back, the network failed, or a timeout expired. Callers
// retry, or ask people to. An error that is neither Transient nor [Permanent] has another
// source.
func Transient(err error) bool {
	if Code(err) != "" {
		return inClass(err, connectionException, transactionRollback, insufficientResource, operatorIntervention, systemError)
	}
	var connect *pgconn.ConnectError
	var network net.Error // deadlines too
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) ||
		pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// RefusedData reports whether Postgres refused a value or a row, while others can be stored.
// The recorder parks an event for this error only.
func RefusedData(err error) bool { return inClass(err, dataException, integrityViolation) }

// Permanent reports whether Postgres would refuse the same statement again, because of its
// data, an error in the statement, or a missing privilege. Unlike with [RefusedData], all
// statements of that kind may fail.
func Permanent(err error) bool { return RefusedData(err) || inClass(err, syntaxOrAccess) }
