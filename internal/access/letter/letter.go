// Package letter mails the single-use links with which portal users set a password.
//
// Staff send a link to a portal user with [Letters.Invite], which reports whether the
// e-mail service accepted it. A portal user without a password types an e-mail address
// and requests a link with [Letters.RequestLinks]. It returns before any account is looked up;
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

// Enabled reports whether an e-mail service is set up.
func (ls *Letters) Enabled() bool { return ls.cfg.SendReset != nil }

// Metrics returns the counter of letters by outcome.
func (ls *Letters) Metrics() prometheus.Collector { return ls.sent }

// Invite sends a link to a portal user on behalf of a staff member with the permission.
// The link replaces earlier ones. Its errors are those of [policy.Allow] and
// [access.Gate.InviteByMail], [ErrOff], and [ErrNotSent]. It does not retry; the staff
// member can.
func (ls *Letters) Invite(ctx context.Context, staff policy.Subject, portalUserID string) error {
	if err := policy.Allow(staff, policy.Invite); err != nil {
		return err
	}
	if !ls.Enabled() {
		return ErrOff
	}
	made, err := ls.cfg.Gate.InviteByMail(ctx, portalUserID)
	if err != nil {
		return err
	}
	if err := ls.handOver(ctx, made); err != nil {
		ls.sent.WithLabelValues("failed").Inc()
		ls.cfg.Logger.WarnContext(ctx, "an invitation could not be handed over", "portal_user_id", portalUserID, "error", err)
		return fmt.Errorf("%w (%w)", ErrNotSent, err)
	}
	return nil
}

// RequestLinks queues a link for every account with the e-mail address. Its answer is the same
// whether there is an account or not. It fails with [ErrOff], [ErrBusy], or
// [access.TooSoon] after too many requests for this address.
func (ls *Letters) RequestLinks(ctx context.Context, email string) error {
	if !ls.Enabled() {
		return ErrOff
	}
	err := ls.cfg.Gate.CountLinkRequest(ctx, email)
	if errors.Is(err, access.ErrAskedElsewhere) {
		return nil // the answer must not reveal earlier requests to a stranger
	}
	if err != nil {
		return err
	}
	select {
	case ls.requested <- email:
		return nil
	default:
		return ErrBusy
	}
}

// Run sends the requested links until ctx ends. Requests that are still queued then are
// lost.
func (ls *Letters) Run(ctx context.Context) error {
	var working errgroup.Group
	working.SetLimit(maxWorkers)
	for {
		select {
		case <-ctx.Done():
			return working.Wait()
		case email := <-ls.requested:
			// Go blocks while all workers are busy. The queue then fills up, and RequestLinks
			// refuses with ErrBusy.
			working.Go(func() error {
				ls.sendLinks(ctx, email)
				return nil
			})
		}
	}
}

// sendLinks sends a link to each account with the e-mail address.
func (ls *Letters) sendLinks(ctx context.Context, email string) {
	var letters []access.Invitation
	// Retries send the links of the first try again. New links would replace them, and
	// a letter that is already on its way would then contain a dead link.
	ls.retry(ctx, "making links", func() error {
		more, err := ls.cfg.Gate.InviteAddress(ctx, email)
		letters = append(letters, more...)
		if err != nil {
			return retryable{err}
		}
		return nil
	})
	for _, l := range letters {
		ls.retry(ctx, "handing a letter over", func() error { return ls.handOver(ctx, l) })
	}
}

// retryable marks an error of Postgres, which may be unavailable for a while.
type retryable struct{ error }

// RetryAfter asks for the usual pause.
func (retryable) RetryAfter() time.Duration { return 1 }

// retry calls do until it succeeds, fails with an error that is not worth a retry, has
// failed maxTries times, or ctx ends.
func (ls *Letters) retry(ctx context.Context, doing string, do func() error) {
	pause := ls.cfg.Pause
	for try := 1; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		var later interface{ RetryAfter() time.Duration }
		if try == maxTries || !errors.As(err, &later) || later.RetryAfter() <= 0 {
			ls.sent.WithLabelValues("given_up").Inc()
			ls.cfg.Logger.ErrorContext(ctx, "a requested link was not sent: the person has to request it again", "doing", doing, "tries", try, "error", err)
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

func (ls *Letters) handOver(ctx context.Context, made access.Invitation) error {
	send := ls.cfg.SendReset
	if made.First {
		send = ls.cfg.SendInvitation
	}
	if err := send(ctx, made.Email, ls.link(made.Token)); err != nil {
		return err
	}
	ls.sent.WithLabelValues("sent").Inc()
	return nil
}

// Path is the path of the page that a link opens.
const Path = "/portal/invitation"

// link puts the token into the fragment of the address. Browsers never send the
// fragment, so the token is in no log of ours or of a proxy, and in no Referer header.
func (ls *Letters) link(token string) string {
	return strings.TrimSuffix(ls.cfg.PublicURL, "/") + Path + "#" + token
}

// Token returns the token from pasted text, which is the whole link or the token alone.
func Token(pasted string) string {
	if _, token, found := strings.Cut(pasted, "#"); found {
		pasted = token
	}
	return strings.Join(strings.Fields(pasted), "")
}
