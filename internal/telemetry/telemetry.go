package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// A Telemetry has the metrics and traces of one process. It is safe for concurrent use.
type Telemetry struct {
	instruments
	registry *prometheus.Registry
	tracer   trace.Tracer
	traces   *sdk.TracerProvider // nil: none
}

// New returns a Telemetry that traces nothing.
func New() *Telemetry {
	t := &Telemetry{
		instruments: newInstruments(),
		registry:    prometheus.NewRegistry(),
		tracer:      noop.NewTracerProvider().Tracer(""),
	}
	t.registry.MustRegister(t.all()...)
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return t
}

// Start returns a Telemetry that sends traces to an OTLP endpoint such as
// http://collector:4318, with the name of the process; without an endpoint it is [New]. If
// the endpoint can't be reached, traces are lost, without other effects.
func Start(ctx context.Context, process, endpoint string) (*Telemetry, error) {
	if endpoint == "" {
		return New(), nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("preparing traces for OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	return Traced(process, sdk.WithBatcher(exporter)), nil
}

// Traced returns a Telemetry that sends traces to the given provider option.
func Traced(process string, to sdk.TracerProviderOption) *Telemetry {
	t := New()
	t.traces = sdk.NewTracerProvider(to, sdk.WithIDGenerator(ids{}),
		sdk.WithResource(resource.NewSchemaless(semconv.ServiceName(process))))
	t.tracer = t.traces.Tracer("postern")
	return t
}

// Close sends the last traces.
func (t *Telemetry) Close(ctx context.Context) error {
	if t.traces == nil {
		return nil
	}
	return t.traces.Shutdown(ctx)
}

// Register adds another collector, once a process.
func (t *Telemetry) Register(c prometheus.Collector) { t.registry.MustRegister(c) }

// Handler answers /metrics.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{Registry: t.registry})
}
