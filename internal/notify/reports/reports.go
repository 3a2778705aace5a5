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

// MaxPost is the most bytes of a post.
const MaxPost = 2 << 20

// Errors of a post that is not taken, and never will be.
var (
	ErrNotSigned  = problem.NotSigned.New("the post is not signed by SendGrid, or this clinic has no key to tell: see SENDGRID_WEBHOOK_PUBLIC_KEY")
	ErrUnreadable = problem.BadRequest.New("the post is signed, but no list of SendGrid's events")
)

// Report is one event of SendGrid's, before it is known whom it speaks of. Of the
// embedded Report the portal user is yet to be found.
type Report struct {
	events.Report
	// Request is the request_id of the call that sent the alert, uuid.Nil where
	// the e-mail was none of ours.
	Request uuid.UUID
	// IsTo tells whether the e-mail went to an address.
	IsTo func(email string) bool
	// Address is where it went, "" where that is not said. It gets no further than here.
	Address func() string
}

// Config is what a Receiver works with.
type Config struct {
	Pool *pgxpool.Pool
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
	// Read checks the signature of a post and reads it. What is odd about one event
	// costs no other: it is counted in odd and left out. Its errors wrap ErrNotSigned
	// and ErrUnreadable. Nil: no post is taken.
	Read func(header http.Header, body []byte) (reports []Report, odd int, err error)
}

// A Receiver takes posts. It is safe for concurrent use.
type Receiver struct {
	Config
	reports *prometheus.CounterVec
	acked   recent

	mu       sync.Mutex
	sendings map[uuid.UUID]*sending
}

const actor = "process:sendgrid"

// New makes a Receiver.
func New(c Config) *Receiver {
	return &Receiver{
		Config: c, sendings: map[uuid.UUID]*sending{},
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_sendgrid_reports_total",
			Help: "Events of SendGrid's webhook: recorded, repeated (on the record already), foreign (of no alert of ours) or odd (without an id or a type, or no event at all)."}, []string{"fate"}),
	}
}

// Metrics count reports by what became of them.
func (r *Receiver) Metrics() prometheus.Collector { return r.reports }

// Post takes a post: when it returns nil, everything in it that concerns our alerts
// is on the record, and the rest is counted.
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
		// One atomic batch. A crash before its acknowledgement leaves a post that
		// SendGrid repeats; after it, the repeat is the same events.
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
