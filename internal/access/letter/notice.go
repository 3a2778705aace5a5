package letter

import (
	"context"
	"errors"
	"time"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/store"
	"postern/internal/text/language"
)

const (
	// noticePoll is how often changed addresses are looked for.
	noticePoll = 2 * time.Second
	// noticesAtOnce is how many notices are read at a time.
	noticesAtOnce = 50
	// noticePause is the pause before a notice is tried again; it doubles up to noticePauseMost.
	noticePause, noticePauseMost = 30 * time.Second, time.Hour
)

// RunNotices records the changes of addresses of accounts, and tells the former addresses, until
// ctx ends. Several processes may run it; one works at a time.
func (ls *Letters) RunNotices(ctx context.Context) error {
	tick := time.NewTicker(noticePoll)
	defer tick.Stop()
	for {
		if err := ls.TellFormerAddresses(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseTaken) {
			ls.cfg.Logger.WarnContext(ctx, "former addresses of accounts wait to be told of the change", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// TellFormerAddresses records every change of an address of an account that is not on the record,
// and sends every notice that is due, at the configured rate. If another process does that, its
// error wraps [store.ErrLeaseTaken].
//
// A crash leaves what is not done for the next call. A notice that the e-mail service accepted just
// before the crash is sent again, which is harmless.
func (ls *Letters) TellFormerAddresses(ctx context.Context) error {
	return ls.cfg.Gate.WithAddressChanges(ctx, func(held func(context.Context) error) error {
		for more := true; more; {
			if err := held(ctx); err != nil {
				return err
			}
			var err error
			if more, err = ls.cfg.Gate.RecordAddressChanges(ctx); err != nil {
				return err
			}
		}
		if !ls.Enabled() {
			return nil
		}
		for {
			due, err := ls.cfg.Gate.DueNotices(ctx, noticesAtOnce)
			if err != nil || len(due) == 0 {
				return err
			}
			for _, n := range due {
				if err := ls.turns.Wait(ctx); err != nil {
					return err
				}
				if err := held(ctx); err != nil {
					return err
				}
				if err := ls.tellFormer(ctx, n); err != nil {
					return err
				}
			}
		}
	})
}

// tellFormer sends one notice and stores the outcome.
func (ls *Letters) tellFormer(ctx context.Context, n access.Notice) error {
	l, err := ls.cfg.Gate.LanguageOf(ctx, policy.RealmPortalUser, n.PortalUserID)
	if err != nil {
		return err
	}
	failed := ls.cfg.SendPortalAddressChanged(language.With(ctx, l), n.Former)
	if failed == nil {
		ls.sent.WithLabelValues("sent").Inc()
		return ls.cfg.Gate.NoticeSent(context.WithoutCancel(ctx), n)
	}
	pause := min(noticePause<<min(n.Tries, 10), noticePauseMost)
	var later interface{ RetryAfter() time.Duration }
	if errors.As(failed, &later) {
		pause = max(pause, later.RetryAfter())
	}
	givenUp, err := ls.cfg.Gate.NoticeFailed(ctx, n, pause)
	if givenUp {
		ls.sent.WithLabelValues("given_up").Inc()
		ls.cfg.Logger.ErrorContext(ctx, "the former address of an account could not be told of the change: tell the person by other means", "portal_user_id", n.PortalUserID, "error", failed)
		return err
	}
	ls.sent.WithLabelValues("failed").Inc()
	ls.cfg.Logger.WarnContext(ctx, "the former address of an account is told of the change later", "portal_user_id", n.PortalUserID, "tries", n.Tries+1, "error", failed)
	return err
}
