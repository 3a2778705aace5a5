package export_test

import (
	"io"
	"testing"

	"postern/internal/eventlog/facts"
	"postern/internal/record/export"
	"postern/internal/record/query"
)

// BenchmarkExport measures the events written per second in each format.
func BenchmarkExport(b *testing.B) {
	const n = 50_000
	pool := full(b, n)
	room := query.New(query.Config{Pool: pool, Facts: facts.Publisher{Source: "/api", Send: unpublished}})
	for _, format := range []export.Format{export.CSV, export.NDJSON, export.FHIR} {
		b.Run(string(format), func(b *testing.B) {
			for b.Loop() {
				begun, err := export.New(room, pool).Start(b.Context(), reviewer, query.Filter{}, format)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := begun.Write(b.Context(), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "events/s")
		})
	}
}
