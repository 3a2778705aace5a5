// Package api serves /v1, the JSON interface of staff and portal users, and what
// operators ask a process: health, readiness and metrics. The whole of it is
// described at /openapi.json and /docs.
//
// # How a request goes
//
// From the outside in: the limits of package inbound, metrics, recovery from panics,
// security headers, the check that a request with a cookie comes from our own pages,
// the gate of package access (who asks), the policy (whether they may), how much of a
// body the operation takes, decoding and validation, and the handler. A handler returns a value or an error; the
// package problem/document makes of every error a problem document (RFC 9457).
//
// # What a request leaves
//
// A request that is answered with 4xx has left nothing: no row, no blob, no event.
// One that is answered with 2xx is on the record, or in the content store, for
// good. After a 503, or no answer at all, it is one or the other, and repeating
// it is safe.
//
// Subjects, bodies, file names, names and addresses are in answers to those who
// may read them, and in no log line, metric, URL or error.
package api
