// Package api serves /v1, the JSON interface for staff and portal users, and the health,
// readiness and metrics of the process. /openapi.json and /docs describe all of it.
//
// # The path of a request
//
// From the outside in: the limits of package inbound, metrics, recovery from panics,
// security headers, the check that a request with a cookie comes from our own pages,
// authentication by package access, authorisation by package policy, the operation's limit
// on the body, decoding and validation, and the handler. A handler returns a value or an
// error. Package problem/document turns every error into a problem document (RFC 9457).
//
// # The effect of a request
//
// A request that is answered with 4xx has stored nothing: no row, no blob, no event. The
// effect of a request that is answered with 2xx is stored permanently, in the record or in
// the content store. After a 503, or without an answer, either may be true, and a retry is
// safe.
//
// Subjects, bodies, file names, names and addresses are only in answers to clients who may
// read them. They are in no log line, metric, URL or error.
//
// # Size
//
// It is one package because all operations are declared in the same way, with the same
// checks, answers and lists, and become one description. Each group of operations has a
// file, and a struct with only the dependencies that it needs: see [Operations].
package api
