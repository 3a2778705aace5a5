// Package letter mails the single-use links with which portal users set a password.
//
// Staff send a link to a portal user with [Letters.Invite], which reports whether the
// e-mail service accepted it. A portal user without a password types an e-mail address
// and requests a link with [Letters.Ask]. Ask returns before any account is looked up;
// [Letters.Run] does that later. So neither the answer nor its timing reveals whether
// the address has an account.
//
// A requested link that can't be handed over is retried for some minutes. The queue is
// kept only in memory, because a link can be requested again: a restart loses it. No
// log line, metric or error contains a typed address.
//
// Letters is safe for concurrent use.
package letter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"postern/internal/access"
	"postern/internal/access/policy"
)

var (
	// ErrOff means that no e-mail service is set up.
	ErrOff = errors.New("no e-mail can be sent: SENDGRID_API_KEY and ALERT_FROM are not set")
	// ErrBusy means that the queue of requested letters is full.
	ErrBusy = errors.New("too many people are asking for a link right now: try again in a minute")
	// ErrNotSent is wrapped by every error of a letter that could not be handed over.
	ErrNotSent = errors.New("the e-mail could not be sent, and earlier links no longer work: try again")
)

// Config configures [Letters]. Only Gate is required.
type Config struct {
	Gate *access.Gate
	// SendInvitation and SendReset hand a letter to the e-mail service. They are nil
	// if no service is set up. An error that is worth a retry has a method
	// RetryAfter() time.Duration that returns a positive duration.
	SendInvitation, SendReset func(ctx context.Context, to, link string) error
	// PublicURL is the address of the portal.
	PublicURL string
	Logger    *slog.Logger
	// Pause is the pause before the first retry; it doubles before each further retry.
	// The default is 2 seconds.
	Pause time.Duration
}

// Letters sends letters.
type Letters struct {
	cfg       Config
	requested chan string // typed e-mail addresses that wait for Run
	sent      *prometheus.CounterVec
}

const (
	maxQueued  = 256 // requests that wait for a worker
	maxWorkers = 64  // requests in work, including those that pause before a retry
	maxTries   = 8   // with the pauses between them, a little over four minutes
)

// New returns Letters with the defaults filled in. It does no I/O.
func New(cfg Config) *Letters {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Pause == 0 {
		cfg.Pause = 2 * time.Second
	}
	o := &Letters{cfg: cfg, requested: make(chan string, maxQueued)}
	o.sent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_letters_total",
		Help: "E-mails with a link to set a password, by outcome: sent, failed, or given_up after several tries.",
	}, []string{"outcome"})
	for _, outcome := range []string{"sent", "failed", "given_up"} {
		o.sent.WithLabelValues(outcome)
	}
	return o
}

// Open reports whether an e-mail service is set up.
func (o *Letters) Open() bool { return o.cfg.SendReset != nil }

// Metrics returns the counter of letters by outcome.
func (o *Letters) Metrics() prometheus.Collector { return o.sent }

// Invite sends a link to a portal user on behalf of a staff member with the permission.
// The link replaces earlier ones. Its errors are those of [policy.Allow] and
// [access.Gate.InviteByMail], [ErrOff], and [ErrNotSent]. It does not retry; the staff
// member can.
func (o *Letters) Invite(ctx context.Context, staff policy.Subject, portalUserID string) error {
	if err := policy.Allow(staff, policy.Invite); err != nil {
		return err
	}
	if !o.Open() {
		return ErrOff
	}
	made, err := o.cfg.Gate.InviteByMail(ctx, portalUserID)
	if err != nil {
		return err
	}
	if err := o.handOver(ctx, made); err != nil {
		o.sent.WithLabelValues("failed").Inc()
		o.cfg.Logger.WarnContext(ctx, "an invitation could not be handed over", "portal_user_id", portalUserID, "error", err)
		return fmt.Errorf("%w (%w)", ErrNotSent, err)
	}
	return nil
}

// Ask queues a link for every account with the e-mail address. Its answer is the same
// whether there is an account or not. It fails with [ErrOff], [ErrBusy], or
// [access.TooSoon] after too many requests for this address.
func (o *Letters) Ask(ctx context.Context, email string) error {
	if !o.Open() {
		return ErrOff
	}
	err := o.cfg.Gate.CountAsk(ctx, email)
	if errors.Is(err, access.ErrAskedElsewhere) {
		return nil // the answer must not reveal earlier requests to a stranger
	}
	if err != nil {
		return err
	}
	select {
	case o.requested <- email:
		return nil
	default:
		return ErrBusy
	}
}

// Run sends the requested links until ctx ends. Requests that are still queued then are
// lost.
func (o *Letters) Run(ctx context.Context) error {
	var working errgroup.Group
	working.SetLimit(maxWorkers)
	for {
		select {
		case <-ctx.Done():
			return working.Wait()
		case email := <-o.requested:
			// Go blocks while all workers are busy. The queue then fills up, and Ask
			// refuses with ErrBusy.
			working.Go(func() error {
				o.sendLinks(ctx, email)
				return nil
			})
		}
	}
}

// sendLinks sends a link to each account with the e-mail address.
func (o *Letters) sendLinks(ctx context.Context, email string) {
	var letters []access.Invitation
	// Retries send the links of the first try again. New links would replace them, and
	// a letter that is already on its way would then contain a dead link.
	o.retry(ctx, "making links", func() error {
		more, err := o.cfg.Gate.InviteAddress(ctx, email)
		letters = append(letters, more...)
		if err != nil {
			return retryable{err}
		}
		return nil
	})
	for _, l := range letters {
		o.retry(ctx, "handing a letter over", func() error { return o.handOver(ctx, l) })
	}
}

// retryable marks an error of Postgres, which may be unavailable for a while.
type retryable struct{ error }

// RetryAfter asks for the usual pause.
func (retryable) RetryAfter() time.Duration { return 1 }

// retry calls do until it succeeds, fails with an error that is not worth a retry, has
// failed maxTries times, or ctx ends.
func (o *Letters) retry(ctx context.Context, doing string, do func() error) {
	pause := o.cfg.Pause
	for try := 1; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		var later interface{ RetryAfter() time.Duration }
		if try == maxTries || !errors.As(err, &later) || later.RetryAfter() <= 0 {
			o.sent.WithLabelValues("given_up").Inc()
			o.cfg.Logger.ErrorContext(ctx, "a requested link was not sent: the person has to request it again", "doing", doing, "tries", try, "error", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(pause, later.RetryAfter())):
		}
		pause *= 2
	}
}

func (o *Letters) handOver(ctx context.Context, made access.Invitation) error {
	send := o.cfg.SendReset
	if made.First {
		send = o.cfg.SendInvitation
	}
	if err := send(ctx, made.Email, o.link(made.Token)); err != nil {
		return err
	}
	o.sent.WithLabelValues("sent").Inc()
	return nil
}

// Path is the path of the page that a link opens.
const Path = "/portal/invitation"

// link puts the token into the fragment of the address. Browsers never send the
// fragment, so the token is in no log of ours or of a proxy, and in no Referer header.
func (o *Letters) link(token string) string {
	return strings.TrimSuffix(o.cfg.PublicURL, "/") + Path + "#" + token
}

// Token returns the token from pasted text, which is the whole link or the token alone.
func Token(pasted string) string {
	if _, token, found := strings.Cut(pasted, "#"); found {
		pasted = token
	}
	return strings.Join(strings.Fields(pasted), "")
}
