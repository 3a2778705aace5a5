package reports

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/problem"
)

// MaxPost is the largest size of a POST in bytes.
const MaxPost = 2 << 20

// Errors of a POST that is refused. A retry can't help.
var (
	ErrNotSigned  = problem.NotSigned.New("the POST is not signed by SendGrid, or no key is set to check it: see SENDGRID_WEBHOOK_PUBLIC_KEY")
	ErrUnreadable = problem.BadRequest.New("the POST is signed, but its body is not a list of SendGrid's events")
)

// Report is one event of SendGrid, before its recipient is known: the embedded Report
// has no portal user yet.
type Report struct {
	events.Report
	// Request is the request_id of the request that sent the alert, uuid.Nil if the
	// e-mail was no alert of Postern.
	Request uuid.UUID
	// IsTo reports whether the e-mail was sent to the address.
	IsTo func(email string) bool
	// Address is the address to which the e-mail was sent, "" if the report has none. It
	// does not leave this package.
	Address func() string
}

// Config has the settings and dependencies of a Receiver.
type Config struct {
	Pool *pgxpool.Pool
	// Facts publishes the events.
	Facts facts.Publisher
	// Read checks the signature of a POST and decodes it. It leaves out invalid events
	// and counts them in odd. Its errors wrap ErrNotSigned or ErrUnreadable. If it is
	// nil, every POST is refused.
	Read func(header http.Header, body []byte) (reports []Report, odd int, err error)
}

// A Receiver receives SendGrid's POSTs. It is safe for concurrent use.
type Receiver struct {
	Config
	reports *prometheus.CounterVec
	acked   recent

	mu       sync.Mutex
	requests map[uuid.UUID]*sentRequest
}

const actor = "process:sendgrid"

// New makes a Receiver.
func New(c Config) *Receiver {
	return &Receiver{
		Config: c, requests: map[uuid.UUID]*sentRequest{},
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_sendgrid_reports_total",
			Help: "Events of SendGrid's webhook: recorded, repeated (recorded before), foreign (about no alert of Postern) or odd (without an id or a type, or not an event)."}, []string{"fate"}),
	}
}

// Metrics counts reports by their result.
func (r *Receiver) Metrics() prometheus.Collector { return r.reports }

// Post handles one POST. When it returns nil, every report about an alert of Postern is
// recorded, and the others are counted.
func (r *Receiver) Post(ctx context.Context, header http.Header, body []byte) error {
	if r.Read == nil {
		return ErrNotSigned
	}
	reports, odd, err := r.Read(header, body)
	if err != nil {
		return err
	}
	reported, ours, fresh, err := r.facts(ctx, reports)
	if err != nil {
		return err
	}
	if len(reported) > 0 {
		// One atomic batch. After a crash, SendGrid repeats the POST. If the batch was
		// stored before the crash, the repeat has the same events.
		if _, err := r.Facts.Publish(ctx, actor, r.Facts.Now(), reported...); err != nil {
			return fmt.Errorf("recording SendGrid's reports: %w", err)
		}
	}
	r.acked.add(fresh)
	r.reports.WithLabelValues("recorded").Add(float64(len(fresh)))
	r.reports.WithLabelValues("repeated").Add(float64(ours - len(fresh)))
	r.reports.WithLabelValues("foreign").Add(float64(len(reports) - ours))
	r.reports.WithLabelValues("odd").Add(float64(odd))
	return nil
}
