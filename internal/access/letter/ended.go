package letter

import (
	"context"
	"errors"
	"time"

	"postern/internal/messages/notice"
	"postern/internal/store"
	"postern/internal/text/language"
)

// endedPoll is how often messages that have ended are looked for.
const endedPoll = 5 * time.Second

// RunEnded tells senders who want it by e-mail that their messages have ended, until ctx ends.
// Several processes may run it; one works at a time.
func (ls *Letters) RunEnded(ctx context.Context) error {
	tick := time.NewTicker(endedPoll)
	defer tick.Stop()
	for {
		if err := ls.SendEnded(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseTaken) {
			ls.cfg.Logger.WarnContext(ctx, "e-mails about messages that have ended wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// SendEnded sends every e-mail about a message that has ended that is due, at the configured rate.
// If another process does that, its error wraps [store.ErrLeaseTaken].
//
// A message has at most one such e-mail. Where a crash or a lost answer of the service leaves open
// whether it went out, it is unknown, and no second one is sent: the notice is on the pages.
func (ls *Letters) SendEnded(ctx context.Context) error {
	if !ls.Enabled() || ls.cfg.Notices == nil {
		return nil
	}
	return ls.cfg.Notices.WithLetters(ctx, func(held func(context.Context) error) error {
		for {
			if err := ls.turns.Wait(ctx); err != nil {
				return err
			}
			if err := held(ctx); err != nil {
				return err
			}
			next, err := ls.cfg.Notices.NextLetter(ctx)
			if err != nil || next == nil {
				return err
			}
			if err := ls.tellEnded(ctx, next); err != nil {
				return err
			}
		}
	})
}

// tellEnded sends one e-mail and stores the outcome. A shutdown does not interrupt it.
func (ls *Letters) tellEnded(ctx context.Context, l *notice.Letter) error {
	ctx = context.WithoutCancel(ctx)
	if !l.Due {
		return ls.cfg.Notices.EndLetter(ctx, l, notice.Skipped)
	}
	failed := ls.cfg.SendMessageEnded(language.With(ctx, l.Language), l.Email)
	var maybe interface{ MaybeSent() bool }
	var later interface{ RetryAfter() time.Duration }
	switch {
	case failed == nil:
		ls.sent.WithLabelValues("sent").Inc()
		return ls.cfg.Notices.EndLetter(ctx, l, notice.Sent)
	case errors.As(failed, &maybe) && maybe.MaybeSent():
		ls.cfg.Logger.WarnContext(ctx, "it is not known whether an e-mail about a message that has ended was sent", "staff_id", l.StaffID, "error", failed)
		return ls.cfg.Notices.EndLetter(ctx, l, notice.Unknown)
	case errors.As(failed, &later) && later.RetryAfter() > 0:
		pause := max(min(noticePause<<min(l.Tries, 10), noticePauseMost), later.RetryAfter())
		givenUp, err := ls.cfg.Notices.PutOffLetter(ctx, l, pause)
		outcome := "failed"
		if givenUp {
			outcome = "given_up"
		}
		ls.sent.WithLabelValues(outcome).Inc()
		ls.cfg.Logger.WarnContext(ctx, "an e-mail about a message that has ended was not accepted", "staff_id", l.StaffID, "tries", l.Tries+1, "given_up", givenUp, "error", failed)
		return err
	}
	ls.sent.WithLabelValues("failed").Inc()
	ls.cfg.Logger.WarnContext(ctx, "an e-mail about a message that has ended was refused", "staff_id", l.StaffID, "error", failed)
	return ls.cfg.Notices.EndLetter(ctx, l, notice.Failed)
}
