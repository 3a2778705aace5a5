package letter

import (
	"context"
	"errors"
	"time"

	"postern/internal/access"
	"postern/internal/store"
)

const (
	// runPoll is how often runs of invitations are looked for.
	runPoll = 2 * time.Second
	// runPause is how long runs wait after the e-mail service was away.
	runPause = 30 * time.Second
	// runTries is how often a person's invitation is tried while the service is away.
	runTries = 20
)

// errAway ends a round of invitations: the e-mail service takes none now.
var errAway = errors.New("the e-mail service takes no invitations now: they wait")

// RunInvitations sends the invitations of runs until ctx ends. Several processes may run it; one
// works at a time.
func (ls *Letters) RunInvitations(ctx context.Context) error {
	for {
		pause := runPoll
		err := ls.SendInvitations(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseTaken) {
			ls.cfg.Logger.WarnContext(ctx, "invitations wait", "error", err)
		}
		if errors.Is(err, errAway) {
			pause = runPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// SendInvitations sends the invitations of all running runs, at the configured rate, and records
// the runs that are finished. It stops early if the e-mail service is away. If another process does
// that, its error wraps [store.ErrLeaseTaken].
//
// No one gets two e-mails of a run. Where a crash or a lost answer of the service leaves open
// whether an e-mail went out, the invitation is unknown, and a person decides.
func (ls *Letters) SendInvitations(ctx context.Context) error {
	if !ls.Enabled() {
		return nil
	}
	return ls.cfg.Gate.WithInvitations(ctx, func(held func(context.Context) error) error {
		for {
			if err := ls.turns.Wait(ctx); err != nil {
				return err
			}
			if err := held(ctx); err != nil {
				return err
			}
			next, err := ls.cfg.Gate.NextInvitation(ctx)
			if err != nil {
				return err
			}
			if next == nil {
				return ls.cfg.Gate.FinishInvitations(ctx)
			}
			if err := ls.inviteInRun(ctx, next); err != nil {
				return err
			}
		}
	})
}

// inviteInRun takes the turn of one person. A shutdown does not interrupt it.
func (ls *Letters) inviteInRun(ctx context.Context, n *access.RunInvitation) error {
	ctx = context.WithoutCancel(ctx)
	end := func(state, reason string) error { return ls.cfg.Gate.EndInvitation(ctx, n, state, reason) }
	made, skip, err := ls.cfg.Gate.LinkInRun(ctx, n)
	switch {
	case err != nil:
		return errors.Join(err, end("waiting", "")) // Postgres or NATS: no e-mail went out
	case skip != "":
		return end("skipped", skip)
	}
	failed := ls.handOver(ctx, made)
	var maybe interface{ MaybeSent() bool }
	var later interface{ RetryAfter() time.Duration }
	switch {
	case failed == nil:
		return end("sent", "")
	case errors.As(failed, &maybe) && maybe.MaybeSent():
		ls.cfg.Logger.WarnContext(ctx, "it is not known whether an invitation was sent", "portal_user_id", n.PortalUserID, "error", failed)
		return end("unknown", "")
	case errors.As(failed, &later) && later.RetryAfter() > 0 && n.Tries < runTries:
		return errors.Join(errAway, failed, end("waiting", ""))
	}
	ls.sent.WithLabelValues("failed").Inc()
	ls.cfg.Logger.WarnContext(ctx, "an invitation could not be handed over", "portal_user_id", n.PortalUserID, "error", failed)
	return end("failed", failed.Error())
}
