package roles

import (
	"context"
	"log/slog"

	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/fanout"
	"postern/internal/notify"
	"postern/internal/notify/sendgrid"
	"postern/internal/parked"
	"postern/internal/record"
	"postern/internal/store"
)

// How many events of each lane a worker handles at once. A bulk handler is a
// whole blast in fan-out, and a chunk of a thousand alerts in notify.
const (
	fanoutSlots = 4
	notifySlots = 4
)

// Fanout runs the fan-out worker.
func Fanout(ctx context.Context, c config.Config, logger *slog.Logger) error {
	b, err := open(ctx, c, config.Fanout, store.RoleFanout, 12, logger)
	if err != nil {
		return err
	}
	defer b.close()
	kept, err := content.Open(ctx, c.ContentURL, c.ContentKeyFile)
	if err != nil {
		return err
	}
	defer func() { _ = kept.Close() }()
	w := fanout.New(fanout.Config{Pool: b.pool, Position: b.position, Content: kept, Publish: b.log.Publish, Logger: b.logger})
	lane := func(bulk bool) eventlog.Handler {
		return func(ctx context.Context, e events.Event, seq uint64) error {
			if e.Type == events.TypeMessageReleased {
				return w.HandleReleased(ctx, e, seq, bulk)
			}
			return w.HandleSent(ctx, e, bulk)
		}
	}
	return b.run(ctx, b.serveHealth, func(ctx context.Context) error {
		return b.log.Consume(ctx, parked.In(b.pool),
			eventlog.Lane{Consumer: eventlog.FanoutBulk, Slots: fanoutSlots, Handle: lane(true)},
			eventlog.Lane{Consumer: eventlog.FanoutDirect, Slots: fanoutSlots, Handle: lane(false)})
	})
}

// Notify runs the notify worker.
func Notify(ctx context.Context, c config.Config, logger *slog.Logger) error {
	client, err := sendgrid.New(sendgrid.Config{BaseURL: c.SendGridBaseURL, APIKey: c.SendGridAPIKey, From: c.AlertFrom, PublicURL: c.PublicURL})
	if err != nil {
		return err
	}
	defer client.Close()
	b, err := open(ctx, c, config.Notify, store.RoleNotify, 12, logger)
	if err != nil {
		return err
	}
	defer b.close()
	w := notify.New(notify.Config{Pool: b.pool, Position: b.position, Publish: b.log.Publish, Send: client.Send, Logger: b.logger})
	lane := func(bulk bool) eventlog.Handler {
		return func(ctx context.Context, e events.Event, seq uint64) error {
			if notify.IsBulk(e) != bulk {
				return nil
			}
			return w.Handle(ctx, e, seq)
		}
	}
	return b.run(ctx, b.serveHealth, w.RunRetries, func(ctx context.Context) error {
		return b.log.Consume(ctx, parked.In(b.pool),
			eventlog.Lane{Consumer: eventlog.NotifyBulk, Slots: notifySlots, Handle: lane(true)},
			eventlog.Lane{Consumer: eventlog.NotifyDirect, Slots: notifySlots, Handle: lane(false)})
	})
}

// Recorder runs the recorder, which leads or stands by.
func Recorder(ctx context.Context, c config.Config, logger *slog.Logger) error {
	b, err := open(ctx, c, config.Recorder, store.RoleRecorder, 6, logger)
	if err != nil {
		return err
	}
	defer b.close()
	return b.run(ctx, b.serveHealth, record.New(record.Config{Log: b.log, Pool: b.pool, Logger: b.logger}).Run)
}
