// Package health brings a whole system into each of the states that operators must tell apart,
// and compares all outputs that report the state: /readyz, /metrics, /v1/operations, the
// operations page and `postern health`.
package health
