// Package telemetry is what a process tells of itself to whoever operates it:
// metrics, in Prometheus's form, and traces, by OpenTelemetry.
//
// Nothing that is measured knows of it. Package roles wraps what a part works
// with, a publish, a handler, a call of SendGrid, and hands the part the wrapped
// one; [Telemetry.Publishing], [Telemetry.Handling], [Telemetry.Calling],
// [Telemetry.Recorded] and [Telemetry.Requests] are those wrappers.
//
// # Metrics
//
// A [Telemetry] belongs to a process. `postern up` is one process, and its one
// holds what all roles count. Labels are types, consumers, routes and statuses:
// no id, no address, nothing that somebody typed. deploy/alerts.yml and
// deploy/grafana/postern.json name them, and a test holds both to this package.
//
// # Traces
//
// The trace of a message has the message's own id, and its root span the last
// half of that id (docs/adr/0025). So every process knows the trace of what it
// has in hand, and nothing travels with an event: an event published again is the
// same, byte for byte. Without an endpoint nothing is traced, at no cost.
package telemetry
