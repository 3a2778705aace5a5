// Package letter mails the single-use links with which portal users and staff set a
// password, and tells an address that it is no longer that of an account.
//
// Staff send a link to a portal user with [Letters.Invite], and to a staff member with
// [Letters.InviteStaff]. Both report whether the e-mail service accepted it. A person
// without a password types an e-mail address and requests a link with
// [Letters.RequestLinks]. It returns before any account is looked up; [Letters.Run] does
// that later. So neither the answer nor its timing reveals whether the address has an
// account.
//
// A requested link that can't be handed over is retried for some minutes. The queue is
// kept only in memory, because a link can be requested again: a restart loses it. Notices to the
// former addresses of portal users wait in Postgres: [Letters.RunNotices] sends them. So do e-mails
// about messages that have ended: [Letters.RunEnded] sends those. No
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
	"golang.org/x/time/rate"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/messages/notice"
	"postern/internal/problem"
	"postern/internal/text/language"
)

var (
	// ErrOff means that no e-mail service is set up.
	ErrOff = problem.EmailUnavailable.New("no e-mail can be sent: SENDGRID_API_KEY and ALERT_FROM are not set")
	// ErrBusy means that the queue of requested letters is full.
	ErrBusy = errors.New("too many people are asking for a link right now: try again in a minute")
	// ErrNotSent is wrapped by every error of a link that could not be handed over.
	ErrNotSent = problem.EmailUnavailable.New("the e-mail could not be sent, and earlier links no longer work: try again")
)

// Config configures [Letters]. Only Gate is required.
type Config struct {
	Gate *access.Gate
	// SendInvitation and SendReset hand a letter for a portal user to the e-mail service,
	// and the next two one for a staff member. SendAddressChanged tells an address that it
	// is no longer that of a staff account. All of these are nil if no service is set up. An error
	// that is worth a retry has a method RetryAfter() time.Duration that returns a positive
	// duration.
	SendInvitation, SendReset           func(ctx context.Context, to, link string) error
	SendStaffInvitation, SendStaffReset func(ctx context.Context, to, link string) error
	SendAddressChanged                  func(ctx context.Context, to string) error
	// SendPortalAddressChanged tells an address that it is no longer that of a portal user's
	// account.
	SendPortalAddressChanged func(ctx context.Context, to string) error
	// SendMessageEnded tells a staff member that a message that they sent has ended, and Notices
	// says whom. Nil: no one is told.
	SendMessageEnded func(ctx context.Context, to string) error
	Notices          *notice.Notices
	// PerSecond is the most letters a second that workers send: invitations of runs, notices
	// of changed addresses, and e-mails about messages that have ended. The default is 10.
	PerSecond int
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
	requested chan request // wait for Run
	sent      *prometheus.CounterVec
	turns     *rate.Limiter // of the letters that workers send
}

// request is a request for the links of an e-mail address.
type request struct {
	realm    policy.Realm
	email    string            // as typed
	language language.Language // of the page on which it was typed
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
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 10
	}
	o := &Letters{cfg: cfg, requested: make(chan request, maxQueued), turns: rate.NewLimiter(rate.Limit(cfg.PerSecond), 1)}
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
	made, err := ls.cfg.Gate.InviteByMail(ctx, staff.Actor(), portalUserID)
	if err != nil {
		return err
	}
	return ls.handOverOnce(ctx, made, "portal_user_id", portalUserID)
}

// InviteStaff is [Letters.Invite] for a link to a staff member: for a first password, or a
// new one. Its errors are those of [policy.Allow] and [access.Gate.InviteStaffByMail],
// [ErrOff], and [ErrNotSent].
func (ls *Letters) InviteStaff(ctx context.Context, administrator policy.Subject, staffID string) error {
	if err := policy.Allow(administrator, policy.ChangeStaff); err != nil {
		return err
	}
	if !ls.Enabled() {
		return ErrOff
	}
	made, err := ls.cfg.Gate.InviteStaffByMail(ctx, administrator.Actor(), staffID)
	if err != nil {
		return err
	}
	return ls.handOverOnce(ctx, made, "staff_id", staffID)
}

// handOverOnce hands a letter over without a retry. Without a language of the reader it is in English,
// and not in that of the staff member of ctx.
func (ls *Letters) handOverOnce(ctx context.Context, made access.Invitation, whose, id string) error {
	ctx = language.With(ctx, language.Default)
	if err := ls.handOver(ctx, made); err != nil {
		ls.sent.WithLabelValues("failed").Inc()
		ls.cfg.Logger.WarnContext(ctx, "an invitation could not be handed over", whose, id, "error", err)
		return fmt.Errorf("%w (%w)", ErrNotSent, err)
	}
	return nil
}

// TellFormerAddress tells an e-mail address that it is no longer that of a staff account,
// so that the owner learns of a change that they did not ask for. It reports whether the
// e-mail service accepted the letter. It does not retry: the caller says who should be
// told by other means.
func (ls *Letters) TellFormerAddress(ctx context.Context, staffID, former string) (told bool) {
	if !ls.Enabled() {
		return false
	}
	l, err := ls.cfg.Gate.LanguageOf(ctx, policy.RealmStaff, staffID)
	if err == nil {
		err = ls.cfg.SendAddressChanged(language.With(ctx, l), former)
	}
	if err != nil {
		ls.sent.WithLabelValues("failed").Inc()
		ls.cfg.Logger.WarnContext(ctx, "the former address of a staff account could not be told of the change", "staff_id", staffID, "error", err)
		return false
	}
	ls.sent.WithLabelValues("sent").Inc()
	return true
}

// RequestLinks queues a link for every account of the realm with the e-mail address. The e-mails are
// in the language that the person chose, else in that of ctx. Its answer is the same
// whether there is an account or not. It fails with [ErrOff], [ErrBusy], or
// [access.TooSoon] after too many requests for this address.
func (ls *Letters) RequestLinks(ctx context.Context, realm policy.Realm, email string) error {
	if !ls.Enabled() {
		return ErrOff
	}
	err := ls.cfg.Gate.CountLinkRequest(ctx, realm, email)
	if errors.Is(err, access.ErrAskedElsewhere) {
		return nil // the answer must not reveal earlier requests to a stranger
	}
	if err != nil {
		return err
	}
	select {
	case ls.requested <- request{realm, email, language.From(ctx)}:
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
		case asked := <-ls.requested:
			// Go blocks while all workers are busy. The queue then fills up, and RequestLinks
			// refuses with ErrBusy.
			working.Go(func() error {
				ls.sendLinks(ctx, asked)
				return nil
			})
		}
	}
}

// sendLinks sends a link to each account with the e-mail address.
func (ls *Letters) sendLinks(ctx context.Context, asked request) {
	ctx = language.With(ctx, asked.language)
	invite := ls.cfg.Gate.InviteAddress
	if asked.realm == policy.RealmStaff {
		invite = ls.cfg.Gate.InviteStaffAddress
	}
	var letters []access.Invitation
	// Retries send the links of the first try again. New links would replace them, and
	// a letter that is already on its way would then contain a dead link.
	ls.retry(ctx, "making links", func() error {
		more, err := invite(ctx, asked.email)
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

// handOver hands a letter over, in the language that the reader chose, else in that of ctx.
func (ls *Letters) handOver(ctx context.Context, made access.Invitation) error {
	send := ls.cfg.SendReset
	switch {
	case made.Realm == policy.RealmStaff && made.First:
		send = ls.cfg.SendStaffInvitation
	case made.Realm == policy.RealmStaff:
		send = ls.cfg.SendStaffReset
	case made.First:
		send = ls.cfg.SendInvitation
	}
	if made.Language != "" {
		ctx = language.With(ctx, made.Language)
	}
	if err := send(ctx, made.Email, Link(ls.cfg.PublicURL, made)); err != nil {
		return err
	}
	ls.sent.WithLabelValues("sent").Inc()
	return nil
}

// The paths of the pages that links open.
const (
	PortalPath = "/portal/invitation"
	StaffPath  = "/sign-in/link"
)

// Link returns the address of a link, below the address of the portal. The token is in the
// fragment. Browsers never send the fragment, so the token is in no log of ours or of a
// proxy, and in no Referer header.
func Link(publicURL string, made access.Invitation) string {
	path := PortalPath
	if made.Realm == policy.RealmStaff {
		path = StaffPath
	}
	return strings.TrimSuffix(publicURL, "/") + path + "#" + made.Token
}

// Token returns the token from pasted text, which is the whole link or the token alone.
func Token(pasted string) string {
	if _, token, found := strings.Cut(pasted, "#"); found {
		pasted = token
	}
	return strings.Join(strings.Fields(pasted), "")
}
