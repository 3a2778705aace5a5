// Package health brings a whole system into each of the states that operators must tell apart,
// and compares all that says how it stands: /readyz, /metrics, /v1/operations, the operations
// page and `postern health`.
package health
