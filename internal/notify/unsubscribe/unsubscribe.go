package unsubscribe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
)

// ErrLink says that a link is not one of ours, or that the portal user has another e-mail address
// by now.
var ErrLink = errors.New("this link is not valid any more: sign in to the portal to turn e-mails off")

// Config configures [OptOuts].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool  *pgxpool.Pool
	Facts facts.Publisher
}

// OptOuts changes who gets alerts.
type OptOuts struct {
	cfg Config
	key func(context.Context) (Key, error) // read once
}

// New returns OptOuts. It does no I/O.
func New(cfg Config) *OptOuts {
	var mu sync.Mutex
	var key *Key
	return &OptOuts{cfg, func(ctx context.Context) (Key, error) {
		mu.Lock()
		defer mu.Unlock()
		if key == nil {
			k, err := LoadKey(ctx, cfg.Pool)
			if err != nil {
				return Key{}, err
			}
			key = &k
		}
		return *key, nil
	}}
}

// person is a portal user who opts out or in.
type person struct {
	id string
	no int32
}

// Check reports whether the portal user of a link has opted out, without changing anything. It
// fails with [ErrLink].
func (o *OptOuts) Check(ctx context.Context, token string) (optedOut bool, err error) {
	p, err := o.ofLink(ctx, token)
	if err != nil {
		return false, err
	}
	since, err := o.Since(ctx, p.no)
	return since != nil, err
}

// ByLink opts the portal user of a link out. Doing it again publishes no event. It fails with
// [ErrLink].
func (o *OptOuts) ByLink(ctx context.Context, token string) error {
	p, err := o.ofLink(ctx, token)
	if err != nil {
		return err
	}
	// It is not known who has the e-mail, so the event names the process.
	return o.change(ctx, o.cfg.Facts.Process(), p, events.OptOut{Out: true, How: events.OptOutOneClick})
}

// InPortal opts a portal user, who is signed in, out or in again. Without a change it publishes no
// event.
func (o *OptOuts) InPortal(ctx context.Context, actor, portalUserID string, portalUserNo int32, out bool) error {
	return o.change(ctx, actor, person{portalUserID, portalUserNo}, events.OptOut{Out: out, How: events.OptOutInPortal})
}

func (o *OptOuts) change(ctx context.Context, actor string, p person, fact events.OptOut) error {
	since, err := o.Since(ctx, p.no)
	if err != nil || (since != nil) == fact.Out {
		return err
	}
	fact.Change, fact.PortalUserID, fact.PortalUserNo = uuid.New(), p.id, p.no
	seq, err := o.cfg.Facts.Record(ctx, actor, o.cfg.Facts.Now(), fact)
	if err != nil {
		return err
	}
	return o.cfg.Facts.WaitToRead(ctx, seq)
}

// Since returns since when a portal user gets no alerts, because they opted out; nil: they did not.
func (o *OptOuts) Since(ctx context.Context, portalUserNo int32) (*time.Time, error) {
	return o.since(ctx, `SELECT since FROM record.alert_opt_outs WHERE portal_user_no = $1`, portalUserNo)
}

// SinceByID is [OptOuts.Since] by the id of a portal user.
func (o *OptOuts) SinceByID(ctx context.Context, portalUserID string) (*time.Time, error) {
	return o.since(ctx, `SELECT since FROM record.alert_opt_outs JOIN app.portal_users USING (portal_user_no) WHERE portal_user_id = $1`, portalUserID)
}

func (o *OptOuts) since(ctx context.Context, sql string, arg any) (*time.Time, error) {
	var since time.Time
	err := o.cfg.Pool.QueryRow(ctx, sql, arg).Scan(&since)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading whether a portal user opted out of alerts: %w", err)
	}
	return &since, nil
}

// ofLink returns the portal user of a link.
func (o *OptOuts) ofLink(ctx context.Context, token string) (person, error) {
	key, err := o.key(ctx)
	if err != nil {
		return person{}, err
	}
	no, hash, ok := key.open(token)
	if !ok {
		return person{}, ErrLink
	}
	p := person{no: no}
	var email string
	err = o.cfg.Pool.QueryRow(ctx, `SELECT portal_user_id, email FROM app.portal_users WHERE portal_user_no = $1`, no).Scan(&p.id, &email)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && hashOf(email) != hash {
		return person{}, ErrLink
	}
	if err != nil {
		return person{}, fmt.Errorf("reading the portal user of a link: %w", err)
	}
	return p, nil
}
