// Package project changes the rows of Postgres as the events of the record say. The recorder
// uses it as events come, and a rebuild uses it to project the whole record again; both give
// the same rows.
//
// A run of events is written by one goroutine over one connection.
//
// # Size
//
// It is one package because one map names what each type of event
// changes (see projections), and those changes share the rows of a batch: an outcome of
// alerts changes a message, a chunk, its exceptions and its reports. In parts, each field of
// these rows would be exported.
package project

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/recorder/state"
)

// projections has the projection of each type of event whose descriptor names rows, and of
// no other type. Events of other types are kept and hashed all the same.
var projections = map[events.Type]projection{
	events.TypeMessageSent:          body(sent),
	events.TypeMessageReleased:      body(released),
	events.TypeMessageCancelled:     body(cancelled),
	events.TypeAudienceResolved:     body(audienceResolved),
	events.TypeDeliveriesCreated:    deliveriesCreated,
	events.TypeFanoutCompleted:      body(fanoutCompleted),
	events.TypeAlertsAccepted:       firstOrRepeated(outcome, repeated),
	events.TypeAlertsFailed:         firstOrRepeated(outcome, repeated),
	events.TypeAlertsSkipped:        firstOrRepeated(outcome, repeated),
	events.TypeAlertsUnknown:        firstOrRepeated(outcome, repeated),
	events.TypeAlertsReported:       reported,
	events.TypeAddressReported:      body(addressReported),
	events.TypeDeliveryOpened:       body(opened),
	events.TypeAttachmentDownloaded: body(downloaded),
	events.TypeMessageRecalled:      body(recalled),
	events.TypeReplayPlanned:        body(replayPlanned),
	events.TypeReplayStarted:        body(replayStarted),
	events.TypeReplayPaused:         body(replayPaused),
	events.TypeReplayResumed:        body(replayResumed),
	events.TypeReplayCompleted:      body(replayCompleted),
	events.TypeReplayCancelled:      body(replayCancelled),
	events.TypeSecondFactorAdded:    ofAccount(body(secondFactorAdded)),
	events.TypeSecondFactorRemoved:  ofAccount(body(secondFactorGone)),
	events.TypeSecondFactorReset:    ofAccount(body(secondFactorGone)),
	events.TypeRecoveryCodesMade:    ofAccount(body(recoveryCodesMade)),
	events.TypeAddressConfirmed:     ofAccount(body(addressConfirmed)),
	events.TypePasswordSet:          ofAccount(nil),
	events.TypeLinkIssued:           ofAccount(nil),
	events.TypeAddressChanged:       ofAccount(nil),
	events.TypeSessionsEnded:        ofAccount(nil),
	events.TypeInvitationsStarted:   body(invitationsStarted),
	events.TypeInvitationsCancelled: body(invitationsCancelled),
	events.TypeInvitationsFinished:  body(invitationsFinished),
	events.TypeAlertsOptedOut:       ofAccount(body(optedOut)),
	events.TypeAlertsOptedIn:        ofAccount(body(optedOut)),
	events.TypeStaffCreated:         body(staffCreated),
	events.TypeStaffChanged:         body(staffChanged),
	events.TypeStaffDisabled:        body(staffDisabled),
	events.TypeStaffEnabled:         body(staffEnabled),
	events.TypePermissionGranted:    body(permissionGranted),
	events.TypePermissionRevoked:    body(permissionRevoked),
	events.TypeGrantRequested:       body(grantRequested),
	events.TypeGrantWithdrawn:       body(grantWithdrawn),
	events.TypeIdentityLinked:       body(identityLinked),
	events.TypeIdentityUnlinked:     body(identityUnlinked),
	events.TypeEmergencyOpened:      body(emergencyOpened),
	events.TypeEmergencyRead:        body(emergencyRead),
	events.TypeEmergencyEnded:       body(emergencyEnded),
	events.TypeEmergencyReviewed:    body(emergencyReviewed),
	events.TypeTokenCreated:         body(tokenCreated),
	events.TypeTokenRevoked:         body(tokenRevoked),
	events.TypeLabelChanged:         body(labelChanged),
	events.TypeClinicChanged:        body(clinicChanged),
	events.TypeParkedRetried:        body(parkedSettled),
	events.TypeParkedDiscarded:      body(parkedSettled),
	events.TypeAlertingPaused:       body(alertingPaused),
	events.TypeAlertingResumed:      body(alertingResumed),
	events.TypeErasureRequested:     body(erasureRequested),
	events.TypeErasureWithdrawn:     body(erasureWithdrawn),
	events.TypeContentErased:        body(contentErased),
	events.TypeRetentionChanged:     body(retentionChanged),
}

// body decodes the event and projects its body.
func body[T any, P interface {
	*T
	events.Body
}](project func(*batch, *Prepared, T) error) projection {
	return func(b *batch, p *Prepared) error {
		decoded, err := events.Decode[T, P](p.Event)
		if err != nil {
			return park("%v", err)
		}
		return project(b, p, decoded)
	}
}

// firstOrRepeated uses one projection for outcomes of a first attempt and another for
// those of a replay.
func firstOrRepeated(first, repeated func(*batch, *Prepared, events.AlertOutcome) error) projection {
	return body(func(b *batch, p *Prepared, e events.AlertOutcome) error {
		if e.ReplayID != nil {
			return repeated(b, p, e)
		}
		return first(b, p, e)
	})
}

// A refusal says that an event changes nothing. With a reason, the event is parked for an
// operator, since no correct process publishes such an event. Without a reason, the event
// came too late, which is normal.
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

func (b *batch) message(id uuid.UUID) (*messageRow, error) {
	m, ok := b.messages[id]
	if !ok {
		return nil, park("the record has no message.sent before it")
	}
	m.dirty = true
	return m, nil
}

// move sets the status that the message has after an event, and returns false where the
// event comes too late to change it.
func (m *messageRow) move(p *Prepared) (moved bool) {
	m.status, moved = m.status.After(p.Event.Type)
	return moved
}

func sent(b *batch, p *Prepared, e events.MessageSent) error {
	if e.MessageID != p.Event.MessageID {
		return park("its headers name another message")
	}
	b.messages[e.MessageID] = &messageRow{
		id: e.MessageID, isNew: true, seq: p.Stored.Seq, sent: e, sender: e.SenderID, bulk: e.Recipients.IsBulk(),
		sentAt: p.Event.Time, status: state.Initial(e.Hold), alerts: map[events.AlertState]int{}, notice: state.NoNotice,
	}
	for _, staff := range e.StaffBcc {
		b.bcc = append(b.bcc, []any{staff, e.MessageID})
	}
	return nil
}

func released(b *batch, p *Prepared, e events.MessageReleased) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if !m.move(p) {
		return tooLate
	}
	m.releasedAt = &p.Event.Time
	return nil
}

func cancelled(b *batch, p *Prepared, e events.MessageCancelled) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if !m.move(p) {
		return tooLate
	}
	m.cancelledAt = &p.Event.Time
	return nil
}

func recalled(b *batch, p *Prepared, e events.MessageRecalled) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if !m.move(p) {
		return tooLate
	}
	m.recalledAt, m.recallReason = &p.Event.Time, &e.Reason
	return nil
}

func audienceResolved(b *batch, _ *Prepared, e events.AudienceResolved) error {
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

func deliveriesCreated(b *batch, p *Prepared) error {
	m, err := b.message(p.Event.MessageID)
	if err != nil {
		return err
	}
	if m.status == state.Scheduled || m.status == state.Cancelled {
		return park("the message is %s", m.status)
	}
	c := p.Chunk
	for _, row := range c.Rows {
		if has := b.delivered[blockKey{c.Message, row.Block}]; has.Meets(&row.Members) {
			return park("a portal user of block %d has the message already", row.Block)
		}
	}
	m.delivered += c.Deliveries
	key := chunkKey{c.Message, c.Chunk}
	b.chunks[key] = &chunkRow{key: key, isNew: true, seq: p.Stored.Seq, firstNo: c.FirstNo, lastNo: c.LastNo,
		deliveries: c.Deliveries, deliveredAt: p.Event.Time, state: events.AlertPending}
	for _, row := range c.Rows {
		b.deliver(blockKey{c.Message, row.Block}, row.Members)
		b.inbox = append(b.inbox, c.Values(row))
	}
	return nil
}

func fanoutCompleted(b *batch, p *Prepared, e events.FanoutCompleted) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.delivered != e.Deliveries {
		return park("it counts %d deliveries, but %d are recorded", e.Deliveries, m.delivered)
	}
	m.completedAt = &p.Event.Time
	m.move(p) // a recalled message stays recalled
	if e.Notice {
		m.notice = state.NoticeDue
	}
	return b.notice(m, p)
}

func opened(b *batch, p *Prepared, e events.DeliveryOpened) error {
	m, err := b.message(e.MessageID)
	if err != nil {
		return err
	}
	if m.opened >= m.delivered {
		return park("more openings than deliveries")
	}
	m.opened++
	b.opens = append(b.opens, []any{e.MessageID, e.PortalUserNo, p.Event.Time})
	b.openSeqs = append(b.openSeqs, int64(p.Stored.Seq)) // #nosec G115 -- a sequence
	return nil
}

func downloaded(b *batch, p *Prepared, e events.AttachmentDownloaded) error {
	b.downloads = append(b.downloads, []any{p.Stored.Seq, e.MessageID, e.PortalUserNo, e.AttachmentID, p.Event.Time})
	return nil
}

func staffCreated(b *batch, p *Prepared, e events.StaffCreated) error {
	return b.exec(`INSERT INTO staff (staff_id, name, created_at) VALUES ($1, $2, $3)`, e.StaffID, e.Name, p.Event.Time)
}

func staffChanged(b *batch, _ *Prepared, e events.StaffChanged) error {
	return b.exec(`UPDATE staff SET name = $2 WHERE staff_id = $1`, e.StaffID, e.Name)
}

// anotherAdministrator is true where an enabled staff member other than $1 may manage staff.
const anotherAdministrator = `EXISTS (SELECT FROM staff_permissions p WHERE p.permission = 'manage_staff' AND p.staff_id <> $1
	AND NOT EXISTS (SELECT FROM staff s WHERE s.staff_id = p.staff_id AND s.disabled_at IS NOT NULL))`

func staffEnabled(b *batch, _ *Prepared, e events.StaffEnabledChanged) error {
	return b.exec(`UPDATE staff SET disabled_at = NULL WHERE staff_id = $1`, e.StaffID)
}

// staffDisabled disables a staff account. The last administrator can't be disabled, just as
// permissionRevoked does not revoke their permission: if two administrators disable each
// other at once, the order of the record decides.
func staffDisabled(b *batch, p *Prepared, e events.StaffEnabledChanged) error {
	err := b.exec(`UPDATE staff SET disabled_at = $2 WHERE staff_id = $1 AND disabled_at IS NULL AND (`+anotherAdministrator+`
		OR NOT EXISTS (SELECT FROM staff_permissions WHERE permission = 'manage_staff' AND staff_id = $1))`, e.StaffID, p.Event.Time)
	if err != nil {
		return err
	}
	// Their emergency access, requests for them, and those that they made end with the account.
	err = b.exec(`UPDATE emergencies SET state = 'ended', ended_by = $2, ended_at = $3 WHERE staff_id = $1 AND state = 'open' AND until > $3
		AND EXISTS (SELECT FROM staff WHERE staff_id = $1 AND disabled_at IS NOT NULL)`, e.StaffID, p.Event.Actor, p.Event.Time)
	if err != nil {
		return err
	}
	return b.exec(`UPDATE grants SET state = 'account_disabled', settled_by = $2, settled_at = $3
		WHERE state = 'requested' AND (staff_id = $1 OR requested_by = 'staff:' || $1)
		AND EXISTS (SELECT FROM staff WHERE staff_id = $1 AND disabled_at IS NOT NULL)`, e.StaffID, p.Event.Actor, p.Event.Time)
}

// permissionRevoked takes a permission. The last administrator keeps manage_staff: if two
// administrators revoke each other's at once, the order of the record decides.
func permissionRevoked(b *batch, p *Prepared, e events.PermissionChanged) error {
	// Emergency access ends with its permission.
	err := b.exec(`UPDATE emergencies SET state = 'ended', ended_by = $3, ended_at = $4
		WHERE staff_id = $1 AND $2 = 'emergency_access' AND state = 'open' AND until > $4`, e.StaffID, e.Permission, p.Event.Actor, p.Event.Time)
	if err != nil {
		return err
	}
	return b.exec(`DELETE FROM staff_permissions WHERE staff_id = $1 AND permission = $2
		AND (permission <> 'manage_staff' OR `+anotherAdministrator+`)`, e.StaffID, e.Permission)
}

func permissionGranted(b *batch, p *Prepared, e events.PermissionChanged) error {
	if e.Request != nil {
		if err := mayApprove(p, e); err != nil {
			return err
		}
		// It gives nothing after the request was settled, or has expired.
		err := b.execOrLate(`UPDATE grants SET state = 'approved', settled_by = $5, settled_at = $6
			WHERE request_id = $1 AND staff_id = $2 AND permission = $3 AND requested_by = $4 AND state = 'requested' AND expires_at > $6`,
			e.Request, e.StaffID, e.Permission, e.RequestedBy, p.Event.Actor, p.Event.Time)
		if err != nil {
			return err
		}
	}
	return b.exec(`INSERT INTO staff_permissions (staff_id, permission, granted_at, granted_by, requested_by) VALUES ($1, $2, $3, $4, nullif($5, ''))
		ON CONFLICT DO NOTHING`, e.StaffID, e.Permission, p.Event.Time, p.Event.Actor, e.RequestedBy)
}

// secondFactorAdded replaces the authenticator app of before, of which there is one. With
// version 1, the recovery codes came with the app.
func secondFactorAdded(b *batch, p *Prepared, e events.SecondFactor) error {
	realm, subject := e.Owner()
	kind := e.Kind
	if e.StaffID != "" {
		kind = events.FactorApp
		if err := b.recoveryCodes(p, events.RecoveryCodesMade{Set: e.Change, Account: realm, ID: subject}); err != nil {
			return err
		}
	}
	if kind == events.FactorApp {
		if err := b.exec(`DELETE FROM second_factors WHERE realm = $1 AND subject = $2 AND kind = $3`, realm, subject, kind); err != nil {
			return err
		}
	}
	return b.exec(`INSERT INTO second_factors (change_id, realm, subject, kind, added_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, e.Change, realm, subject, kind, p.Event.Time)
}

// secondFactorGone removes one factor, or all of them by a reset and by version 1. Recovery codes
// end with the last factor.
func secondFactorGone(b *batch, _ *Prepared, e events.SecondFactor) error {
	realm, subject := e.Owner()
	err := b.exec(`DELETE FROM second_factors WHERE realm = $1 AND subject = $2 AND ($3::uuid IS NULL OR change_id = $3)`, realm, subject, e.Factor)
	if err != nil {
		return err
	}
	return b.exec(`DELETE FROM recovery_codes r WHERE realm = $1 AND subject = $2
		AND NOT EXISTS (SELECT FROM second_factors f WHERE f.realm = r.realm AND f.subject = r.subject)`, realm, subject)
}

func recoveryCodesMade(b *batch, p *Prepared, e events.RecoveryCodesMade) error {
	return b.recoveryCodes(p, e)
}

func (b *batch) recoveryCodes(p *Prepared, e events.RecoveryCodesMade) error {
	return b.exec(`INSERT INTO recovery_codes (realm, subject, set_id, made_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (realm, subject) DO UPDATE SET set_id = excluded.set_id, made_at = excluded.made_at`, e.Account, e.ID, e.Set, p.Event.Time)
}

func labelChanged(b *batch, p *Prepared, e events.LabelChanged) error {
	return b.exec(`INSERT INTO labels (label, one, many, changed_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (label) DO UPDATE SET one = excluded.one, many = excluded.many, changed_at = excluded.changed_at`,
		e.Label, e.One, e.Many, p.Event.Time)
}

func clinicChanged(b *batch, p *Prepared, e events.ClinicChanged) error {
	kind, data := "", []byte{}
	if e.Logo != nil {
		kind, data = e.Logo.MediaType, e.Logo.Data
	}
	return b.exec(`INSERT INTO clinic (seq, name, telephone, address, hours, help, colour, logo_type, logo) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (singleton) DO UPDATE SET seq = excluded.seq, name = excluded.name, telephone = excluded.telephone, address = excluded.address,
			hours = excluded.hours, help = excluded.help, colour = excluded.colour, logo_type = excluded.logo_type, logo = excluded.logo`,
		p.Stored.Seq, e.Name, e.Telephone, e.Address, e.Hours, e.Help, e.Colour, kind, data)
}

// exec writes the rows of rare events one by one, in order.
func (b *batch) exec(sql string, args ...any) error {
	if _, err := b.tx.Exec(b.ctx, sql, args...); err != nil {
		return fmt.Errorf("writing a row: %w", err)
	}
	return nil
}
