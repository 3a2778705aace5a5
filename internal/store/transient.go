package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Transient says whether an error of a request ends without a change, such as one of a
// database that is being restarted, and so whether to ask for another try.
func Transient(err error) bool {
	var (
		unreachable *pgconn.ConnectError
		network     net.Error // deadlines too
		refusal     *pgconn.PgError
	)
	if errors.As(err, &refusal) {
		// PostgreSQL, "Error Codes": operator intervention, too many connections.
		return strings.HasPrefix(refusal.Code, "57P0") || refusal.Code == "53300"
	}
	return errors.As(err, &unreachable) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}
