package recorder

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"postern/internal/events"
)

// projections is the table of what the recorder makes of each event. What stands
// in no row here is kept and hashed all the same.
var projections map[versioned]projection

// The table refers to functions that refer to it through prepare.
func init() {
	projections = map[versioned]projection{
		{events.TypeMessageSent, 1}:          body(sent),
		{events.TypeMessageReleased, 1}:      body(released),
		{events.TypeMessageCancelled, 1}:     body(cancelled),
		{events.TypeAudienceResolved, 1}:     body(audienceResolved),
		{events.TypeDeliveriesCreated, 1}:    deliveriesCreated,
		{events.TypeFanoutCompleted, 1}:      body(fanoutCompleted),
		{events.TypeAlertsAccepted, 2}:       body(repeated),
		{events.TypeAlertsAccepted, 1}:       body(outcome),
		{events.TypeAlertsFailed, 2}:         body(repeated),
		{events.TypeAlertsFailed, 1}:         body(outcome),
		{events.TypeAlertsSkipped, 2}:        body(repeated),
		{events.TypeAlertsSkipped, 1}:        body(outcome),
		{events.TypeAlertsUnknown, 2}:        body(repeated),
		{events.TypeAlertsUnknown, 1}:        body(outcome),
		{events.TypeAlertsReported, 1}:       reported,
		{events.TypeAddressReported, 1}:      body(addressReported),
		{events.TypeDeliveryOpened, 1}:       body(opened),
		{events.TypeAttachmentDownloaded, 1}: body(downloaded),
		{events.TypeMessageRecalled, 1}:      body(recalled),
		{events.TypeReplayPlanned, 1}:        body(replayPlanned),
		{events.TypeReplayStarted, 1}:        body(replayStarted),
		{events.TypeReplayPaused, 1}:         body(replayPaused),
		{events.TypeReplayResumed, 1}:        body(replayResumed),
		{events.TypeReplayCompleted, 1}:      body(replayCompleted),
		{events.TypeReplayCancelled, 1}:      body(replayCancelled),
		{events.TypeSignedIn, 2}:             onlyKept,
		{events.TypeSignedIn, 1}:             onlyKept,
		{events.TypeSignInFailed, 2}:         onlyKept,
		{events.TypeSignInFailed, 1}:         onlyKept,
		{events.TypeSecondFactorAdded, 1}:    body(secondFactorAdded),
		{events.TypeSecondFactorRemoved, 1}:  body(secondFactorGone),
		{events.TypeSecondFactorReset, 1}:    body(secondFactorGone),
		{events.TypeStaffCreated, 1}:         body(staffCreated),
		{events.TypeStaffDisabled, 1}:        body(staffSwitched),
		{events.TypeStaffEnabled, 1}:         body(staffSwitched),
		{events.TypePermissionGranted, 1}:    body(permissionChanged),
		{events.TypePermissionRevoked, 1}:    body(permissionChanged),
		{events.TypeLabelChanged, 1}:         body(labelChanged),
		{events.TypeDirectoryImported, 1}:    onlyKept,
		{events.TypeReceiptIssued, 1}:        onlyKept,
		{events.TypeRecordRead, 1}:           onlyKept,
		{events.TypeRecordExported, 1}:       onlyKept,
		{events.TypeParkedRetried, 1}:        body(parkedSettled),
		{events.TypeParkedDiscarded, 1}:      body(parkedSettled),
		{events.TypeAlertingPaused, 1}:       body(alertingPaused),
		{events.TypeAlertingResumed, 1}:      body(alertingResumed),
		{events.TypeErasureRequested, 1}:     body(erasureRequested),
		{events.TypeErasureWithdrawn, 1}:     body(erasureWithdrawn),
		{events.TypeContentErased, 1}:        body(contentErased),
		{events.TypeRetentionChanged, 1}:     body(retentionChanged),
	}
}

// body decodes the event and projects what it says.
func body[T any, P interface {
	*T
	events.Body
}](project func(*batch, *prepared, T) error) projection {
	return func(b *batch, p *prepared) error {
		decoded, err := events.Decode[T, P](p.event)
		if err != nil {
			return park("%v", err)
		}
		return project(b, p, decoded)
	}
}

// onlyKept is for facts that stand on the record and in no table.
func onlyKept(*batch, *prepared) error { return nil }

// A refusal says that an event changes nothing. Where it names a reason the
// event is parked for an operator, since nothing sound would have published it;
// without one it merely came too late.
type refusal struct{ reason string }

func (r refusal) Error() string { return "changes nothing: " + r.reason }

// tooLate is for an event that lost against an earlier one, as an Undo against
// the release.
var tooLate error = refusal{}

func park(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }

func asRefusal(err error) (reason string, ok bool) {
	var r refusal
	ok = errors.As(err, &r)
	return r.reason, ok
}

const (
	statusScheduled = "scheduled"
	statusSending   = "sending"
	statusSent      = "sent"
	statusCancelled = "cancelled"
	statusRecalled  = "recalled"
)

func initialStatus(h events.Hold) string {
	if h == events.HoldNone {
		return statusSending
	}
	return statusScheduled
}

func (b *batch) message(id uuid.UUID) (*messageRow, error) {
	m, ok := b.messages[id]
	if !ok {
		return nil, park("no message.sent stands before it")
	}
	m.dirty = true
	return m, nil
}

func sent(b *batch, p *prepared, e events.MessageSent) error {
	if e.MessageID != p.event.MessageID {
		return park("its headers name another message")
	}
	b.messages[e.MessageID] = &messageRow{
		id: e.MessageID, isNew: true, seq: p.stored.Seq, sent: e, bulk: e.Recipients.IsBulk(),
		sentAt: p.event.Time, status: initialStatus(e.Hold), alerts: map[events.AlertState]int{},
	}
	for _, staff := range e.StaffBcc {
		b.bcc = append(b.bcc, []any{staff, e.MessageID})
	}
	return nil
}

func released(b *batch, p *prepared, e events.MessageReleased) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.status != statusScheduled {
		return tooLate
	}
	m.status, m.releasedAt = statusSending, &p.event.Time
	return nil
}

func cancelled(b *batch, p *prepared, e events.MessageCancelled) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.status != statusScheduled {
		return tooLate
	}
	m.status, m.cancelledAt = statusCancelled, &p.event.Time
	return nil
}

func recalled(b *batch, p *prepared, e events.MessageRecalled) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.status != statusSending && m.status != statusSent {
		return tooLate
	}
	m.status, m.recalledAt, m.recallReason = statusRecalled, &p.event.Time, &e.Reason
	return nil
}

func audienceResolved(b *batch, _ *prepared, e events.AudienceResolved) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.audience != nil {
		return park("the audience was frozen before")
	}
	count := int32(e.Count) // #nosec G115 -- portal users are numbered by int32
	m.audience, m.manifest = &count, &e.ManifestDigest
	return nil
}

func deliveriesCreated(b *batch, p *prepared) error {
	m, err := b.message(p.event.MessageID)
	if err != nil {
		return err
	}
	if m.status == statusScheduled || m.status == statusCancelled {
		return park("the message is %s", m.status)
	}
	m.delivered += p.chunk.deliveries
	chunk := *p.chunk // a batch that is tried again starts from the same
	b.chunks[chunk.key] = &chunk
	b.deliveries = append(b.deliveries, p.deliveries)
	return nil
}

func fanoutCompleted(b *batch, p *prepared, e events.FanoutCompleted) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.delivered != e.Deliveries {
		return park("it counts %d deliveries where %d stand on the record", e.Deliveries, m.delivered)
	}
	m.completedAt = &p.event.Time
	if m.status == statusSending {
		m.status = statusSent
	}
	return nil
}

func opened(b *batch, p *prepared, e events.DeliveryOpened) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.opened >= m.delivered {
		return park("more openings than deliveries")
	}
	m.opened++
	b.opens = append(b.opens, []any{e.MessageID, e.PortalUserNo, p.event.Time})
	return nil
}

func downloaded(b *batch, p *prepared, e events.AttachmentDownloaded) error {
	b.downloads = append(b.downloads, []any{p.stored.Seq, e.MessageID, e.PortalUserNo, e.AttachmentID, p.event.Time})
	return nil
}

func staffCreated(b *batch, p *prepared, e events.StaffCreated) error {
	return b.exec(`INSERT INTO staff (staff_id, name, created_at) VALUES ($1, $2, $3)`, e.StaffID, e.Name, p.event.Time)
}

// anotherAdministrator asks for one who may come in, besides $1.
const anotherAdministrator = `EXISTS (SELECT FROM staff_permissions p WHERE p.permission = 'manage_staff' AND p.staff_id <> $1
	AND NOT EXISTS (SELECT FROM staff s WHERE s.staff_id = p.staff_id AND s.disabled_at IS NOT NULL))`

// staffSwitched lets the last administrator be disabled no more than lose the
// permission: of two who disable each other at once, the order of the record decides.
func staffSwitched(b *batch, p *prepared, e events.StaffSwitched) error {
	if !e.Disabled {
		return b.exec(`UPDATE staff SET disabled_at = NULL WHERE staff_id = $1`, e.StaffID)
	}
	return b.exec(`UPDATE staff SET disabled_at = $2 WHERE staff_id = $1 AND disabled_at IS NULL AND (`+anotherAdministrator+`
		OR NOT EXISTS (SELECT FROM staff_permissions WHERE permission = 'manage_staff' AND staff_id = $1))`, e.StaffID, p.event.Time)
}

func permissionChanged(b *batch, p *prepared, e events.PermissionChanged) error {
	if !e.Granted {
		// Nobody takes the last administrator's: of two who take each other's at
		// once, the order of the record decides.
		return b.exec(`DELETE FROM staff_permissions WHERE staff_id = $1 AND permission = $2
			AND (permission <> 'manage_staff' OR `+anotherAdministrator+`)`, e.StaffID, e.Permission)
	}
	return b.exec(`INSERT INTO staff_permissions (staff_id, permission, granted_at, granted_by) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, e.StaffID, e.Permission, p.event.Time, p.event.Actor)
}

func secondFactorAdded(b *batch, p *prepared, e events.SecondFactor) error {
	return b.exec(`INSERT INTO second_factors (staff_id, change_id, added_at) VALUES ($1, $2, $3)
		ON CONFLICT (staff_id) DO UPDATE SET change_id = excluded.change_id, added_at = excluded.added_at`, e.StaffID, e.Change, p.event.Time)
}

func secondFactorGone(b *batch, _ *prepared, e events.SecondFactor) error {
	return b.exec(`DELETE FROM second_factors WHERE staff_id = $1`, e.StaffID)
}

func labelChanged(b *batch, p *prepared, e events.LabelChanged) error {
	return b.exec(`INSERT INTO labels (label, one, many, changed_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (label) DO UPDATE SET one = excluded.one, many = excluded.many, changed_at = excluded.changed_at`,
		e.Label, e.One, e.Many, p.event.Time)
}

// exec is for the rare facts that are written one by one, in order.
func (b *batch) exec(sql string, args ...any) error {
	if _, err := b.tx.Exec(b.ctx, sql, args...); err != nil {
		return fmt.Errorf("writing a row: %w", err)
	}
	return nil
}
