// Package letter mails the single-use links with which portal users set a password.
//
// Staff send one to a portal user with [Office.Invite], and learn whether it was
// handed over. Whoever has no password, or forgot it, types an address and asks
// with [Office.Ask], which answers before anything is looked up: what an account
// changes happens afterwards, in [Office.Run]. So neither the answer nor the time
// that it takes tells whether there is one.
//
// What was asked for and could not be handed over is tried again for some minutes.
// What waits is kept in memory alone, because it can be asked for again: a restart
// forgets it. An address that was typed is in no log line, metric or error.
//
// An Office is safe for concurrent use.
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
	// ErrOff says that no e-mail service is set up.
	ErrOff = errors.New("no e-mail is sent from here: SENDGRID_API_KEY and ALERT_FROM are not set")
	// ErrBusy says that too many letters wait for their turn.
	ErrBusy = errors.New("too many people ask for a link right now: try again in a minute")
	// ErrNotSent is wrapped by every error of a letter that was not handed over.
	ErrNotSent = errors.New("the e-mail could not be handed over, and the link before it does not work any more: try again")
)

// Config is what an [Office] works with. Only Gate must be set.
type Config struct {
	Gate *access.Gate
	// SendInvitation and SendReset hand a letter over; they are nil where no e-mail
	// service is set up. An error that is worth another try has the method
	// RetryAfter() time.Duration, which gives more than nothing.
	SendInvitation, SendReset func(ctx context.Context, to, link string) error
	// PublicURL is where people reach the portal.
	PublicURL string
	Logger    *slog.Logger
	// Pause is the first of the pauses between tries, each twice as long as the one
	// before: 2 seconds where it is not set.
	Pause time.Duration
}

// An Office sends letters.
type Letters struct {
	cfg   Config
	asked chan string
	sent  *prometheus.CounterVec
}

const (
	waiting = 256 // most that wait for their turn
	atOnce  = 64  // most that have it, those that are between two tries included
	tries   = 8   // with the pauses between them a little over four minutes
)

// New makes an Office.
func New(cfg Config) *Letters {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Pause == 0 {
		cfg.Pause = 2 * time.Second
	}
	o := &Letters{cfg: cfg, asked: make(chan string, waiting)}
	o.sent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_letters_total",
		Help: "Letters that bring a link to set a password, by what became of them: sent, failed, or given_up after several tries.",
	}, []string{"outcome"})
	for _, outcome := range []string{"sent", "failed", "given_up"} {
		o.sent.WithLabelValues(outcome)
	}
	return o
}

// Open says whether letters can be sent at all.
func (o *Letters) Open() bool { return o.cfg.SendReset != nil }

// Metrics counts letters.
func (o *Letters) Metrics() prometheus.Collector { return o.sent }

// Invite sends a portal user a link, on the word of staff who may. It replaces any
// link before. Its errors are those of [policy.Allow] and [access.Gate.InviteByMail],
// [ErrOff], and [ErrNotSent]: then nobody tries again but those who asked.
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

// Ask has every account of an address sent a link, soon: its answer is the same
// whether there is one or not. It fails with [ErrOff] or [ErrBusy], or with
// [access.TooSoon] where this address was asked about often.
func (o *Letters) Ask(ctx context.Context, email string) error {
	if !o.Open() {
		return ErrOff
	}
	err := o.cfg.Gate.CountAsk(ctx, email)
	if errors.Is(err, access.ErrAskedElsewhere) {
		return nil // what is told a stranger is not what has happened before
	}
	if err != nil {
		return err
	}
	select {
	case o.asked <- email:
		return nil
	default:
		return ErrBusy
	}
}

// Run sends what is asked for, until ctx ends; what waits then is lost.
func (o *Letters) Run(ctx context.Context) error {
	var working errgroup.Group
	working.SetLimit(atOnce)
	for {
		select {
		case <-ctx.Done():
			return working.Wait()
		case email := <-o.asked:
			// Waits for one to end where there are too many; meanwhile more wait,
			// and then Ask refuses.
			working.Go(func() error {
				o.answer(ctx, email)
				return nil
			})
		}
	}
}

// answer sends the letters that somebody asked for.
func (o *Letters) answer(ctx context.Context, email string) {
	var letters []access.Invitation
	// The links of the first try stay, so that no letter that is on its way brings
	// one that another has replaced.
	o.persist(ctx, "making links", func() error {
		more, err := o.cfg.Gate.InviteAddress(ctx, email)
		letters = append(letters, more...)
		if err != nil {
			return tryAgain{err}
		}
		return nil
	})
	for _, l := range letters {
		o.persist(ctx, "handing a letter over", func() error { return o.handOver(ctx, l) })
	}
}

// tryAgain is an error of Postgres's, which may be away.
type tryAgain struct{ error }

// RetryAfter asks for the usual pause.
func (tryAgain) RetryAfter() time.Duration { return 1 }

// persist does something until it succeeds, or no other try is worth it.
func (o *Letters) persist(ctx context.Context, doing string, do func() error) {
	pause := o.cfg.Pause
	for try := 1; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		var later interface{ RetryAfter() time.Duration }
		if try == tries || !errors.As(err, &later) || later.RetryAfter() <= 0 {
			o.sent.WithLabelValues("given_up").Inc()
			o.cfg.Logger.ErrorContext(ctx, "a link that somebody asked for was not sent: they have to ask again", "doing", doing, "tries", try, "error", err)
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

// Path is where a link leads.
const Path = "/portal/invitation"

// link has the token in its fragment, which a browser sends to nobody: not to us, and
// so to no log of a proxy's, nor to a page that is gone to from there.
func (o *Letters) link(token string) string {
	return strings.TrimSuffix(o.cfg.PublicURL, "/") + Path + "#" + token
}

// Token gives the token of what somebody pasted: the whole link, or the token alone.
func Token(pasted string) string {
	if _, token, found := strings.Cut(pasted, "#"); found {
		pasted = token
	}
	return strings.Join(strings.Fields(pasted), "")
}
