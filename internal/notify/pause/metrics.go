package pause

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapePatience is how long counting may take: a scrape has no context of its own.
const scrapePatience = 2 * time.Second

// Metrics counts the pauses in force.
func (s *Pauses) Metrics() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postern_alerting_pauses", Help: "Pauses of alerting in force, of one message or of all; NaN where that can't be read.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
		defer cancel()
		pauses, err := s.Pauses(ctx)
		if err != nil {
			return math.NaN()
		}
		return float64(len(pauses))
	})
}
