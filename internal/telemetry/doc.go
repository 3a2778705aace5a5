// Package telemetry gives the operator a process's metrics, in Prometheus's format, and its
// traces, with OpenTelemetry.
//
// The measured packages do not import it. Package process passes them wrapped functions for
// publishing, handling events and calling SendGrid: [Telemetry.Publishing],
// [Telemetry.Handling], [Telemetry.Calling], [Telemetry.Recorded] and [Telemetry.Requests].
//
// # Metrics
//
// Each process has one [Telemetry]. `postern up` is one process with the metrics of all
// roles. Labels are types, consumers, routes and statuses, and never ids, addresses or text
// that a person typed. deploy/alerts.yml and deploy/grafana/postern.json use the metrics, and
// a test compares their names with this package.
//
// # Traces
//
// The id of a message's trace is the message's id, and the id of its root span is the last
// half of it (docs/adr/0025). So each process knows the trace of the message that it handles,
// and events carry no trace data: an event published again is the same, byte for byte.
// Without an endpoint nothing is traced, at no cost.
package telemetry
