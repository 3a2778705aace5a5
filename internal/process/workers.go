package process

import (
	"context"
	"log/slog"
	"strings"

	"github.com/google/uuid"

	"postern/internal/clinic/clinicstore"
	"postern/internal/config"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/fanout"
	"postern/internal/notify"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/unsubscribe"
	"postern/internal/pace"
	"postern/internal/proof/archive"
	"postern/internal/proof/signer"
	"postern/internal/recorder"
	"postern/internal/store"
	"postern/internal/telemetry"
)

// The number of events of each lane that a worker handles concurrently. A bulk event is a whole
// blast for fan-out, and a chunk of a thousand alerts for notify.
const (
	fanoutBulkSlots = 4
	// A small message is mostly waiting for Postgres and the disk. With few slots, small messages
	// would queue while a blast makes each of them slow.
	fanoutDirectSlots = 16
	notifyBulkSlots   = notify.Slots
	notifyDirectSlots = 4
)

// room is the pace of this process, which all its roles share: in `postern up` they are on one
// machine.
var room pace.Pace

// Fanout runs the fan-out worker, and makes the rosters of the directory after each change.
func Fanout(ctx context.Context, c config.Config, tell *telemetry.Telemetry, logger *slog.Logger) error {
	b, err := open(ctx, c, config.Fanout, store.RoleFanout, 24, tell, logger)
	if err != nil {
		return err
	}
	defer b.close()
	kept, err := b.content(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = kept.Close() }()
	w := fanout.New(fanout.Config{Pool: b.pool, Position: b.position, Content: kept, Facts: b.facts, Logger: b.logger, Pace: &room})
	rosters := rosterstore.New(rosterstore.Config{Pool: b.pool, Content: kept, Vacuum: b.vacuum, Logger: b.logger})
	lane := func(bulk bool) consume.Handler {
		return func(ctx context.Context, e events.Event, seq uint64) error {
			if e.Type == events.TypeMessageReleased {
				return w.HandleReleased(ctx, e, seq, bulk)
			}
			return w.HandleSent(ctx, e, bulk)
		}
	}
	return b.run(ctx, append(b.consume(tell,
		consume.Lane{Consumer: eventlog.FanoutBulk, Slots: fanoutBulkSlots, Handle: lane(true)},
		consume.Lane{Consumer: eventlog.FanoutDirect, Slots: fanoutDirectSlots, Handle: lane(false)}), b.serveHealth(readyWorker...), rosters.Run, b.ensureEntryKey(kept))...)
}

// Notify runs the notify worker.
func Notify(ctx context.Context, c config.Config, tell *telemetry.Telemetry, logger *slog.Logger) error {
	b, err := open(ctx, c, config.Notify, store.RoleNotify, 13, tell, logger)
	if err != nil {
		return err
	}
	defer b.close()
	client, err := sendgrid.New(sendgrid.Config{BaseURL: c.SendGridBaseURL, APIKey: c.SendGridAPIKey, From: c.AlertFrom, PublicURL: c.PublicURL,
		UnsubscribeURL: strings.TrimSuffix(c.PublicURL, "/") + unsubscribe.Path,
		Clinic:         clinicstore.New(clinicstore.Config{Pool: b.pool, Name: c.ClinicName}).Face})
	if err != nil {
		return err
	}
	defer client.Close()
	unsubscribeKey, err := unsubscribe.LoadKey(ctx, b.pool)
	if err != nil {
		return err
	}
	w := notify.New(notify.Config{Unsubscribe: &unsubscribeKey, Pool: b.pool, Position: b.position, Facts: b.facts, Send: measured(tell, client.Send), Logger: b.logger, Last: b.last,
		Acked: func(ctx context.Context) (uint64, error) {
			return b.log.Acked(ctx, eventlog.NotifyBulk, eventlog.NotifyDirect)
		},
		Pace: &room, FailureLimit: c.AlertFailureLimit, Within: telemetry.WithMessage})
	lane := func(bulk bool) consume.Handler {
		return func(ctx context.Context, e events.Event, seq uint64) error {
			if e.IsBulk() != bulk {
				return nil
			}
			return w.Handle(ctx, e, seq)
		}
	}
	parts := append(b.consume(tell,
		consume.Lane{Consumer: eventlog.NotifyBulk, Slots: notifyBulkSlots, Handle: lane(true)},
		consume.Lane{Consumer: eventlog.NotifyDirect, Slots: notifyDirectSlots, Handle: lane(false)}), b.serveHealth(readyWorker...), w.RunPresence, w.RunRetries, w.RunReplays, w.RunPromotions)
	if c.SendGridWebhookPublicKey != "" {
		replays := replay.New(replay.Config{Pool: b.pool, Facts: facts.Publisher{Source: "/notify-worker", Send: b.publish, Reached: b.position.Wait}})
		parts = append(parts, (&replay.UnknownAlerts{Replays: replays, After: c.AlertUnknownWait, Logger: b.logger}).Run)
	}
	return b.run(ctx, parts...)
}

// consume returns the two parts of a worker that handle events: new events, and parked events
// that an operator retries.
func (b *base) consume(tell *telemetry.Telemetry, lanes ...consume.Lane) []func(context.Context) error {
	for i, lane := range lanes {
		lanes[i].Handle = tell.Handling(lane.Consumer, lane.Handle)
	}
	return []func(context.Context) error{
		func(ctx context.Context) error { return consume.Run(ctx, b.log, parked.In(b.pool), lanes...) },
		func(ctx context.Context) error { return parked.Retry(ctx, b.log, b.pool, b.logger, lanes...) },
	}
}

// measured measures and traces every call of SendGrid.
func measured(tell *telemetry.Telemetry, send sender) sender {
	return func(ctx context.Context, request uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		ctx, done := tell.Calling(ctx, len(to))
		result := send(ctx, request, to)
		done(result.Kind.String(), result.Status)
		return result
	}
}

type sender = func(context.Context, uuid.UUID, []sendgrid.Address) sendgrid.Result

// Recorder runs the recorder, as the leader or a standby. With a checkpoint key it signs
// checkpoints of the record, and with an archive it copies them and the segments there.
func Recorder(ctx context.Context, c config.Config, tell *telemetry.Telemetry, logger *slog.Logger) error {
	b, err := open(ctx, c, config.Recorder, store.RoleRecorder, 6, tell, logger)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.mustBelong(ctx); err != nil {
		return err
	}
	r := recorder.Config{Log: b.log, Pool: b.pool, Logger: b.logger, Recorded: tell.Recorded}
	health := b.serveHealth(readyRecorder...)
	if c.CheckpointKeyFile == "" {
		b.logger.Warn("no checkpoint of the record is signed: set CHECKPOINT_KEY_FILE and ARCHIVE_URL")
		return b.run(ctx, health, recorder.New(r).Run)
	}
	keys, err := b.checkpointKeys(ctx)
	if err != nil {
		return err
	}
	n := signer.Config{Pool: b.pool, Keys: keys, Logger: b.logger}
	if c.ArchiveURL == "" {
		b.logger.Warn("checkpoints and segments are kept nowhere outside: set ARCHIVE_URL")
	} else if n.Archive, err = archive.Open(ctx, c.ArchiveURL); err != nil {
		return err
	} else {
		defer func() { _ = n.Archive.Close() }()
		b.reach(ctx, "archive", c.ArchiveURL, n.Archive.Reach)
	}
	if r.Notary, err = signer.New(n); err != nil {
		return err
	}
	tell.WatchArchive(r.Notary.Behind)
	return b.run(ctx, health, recorder.New(r).Run)
}
