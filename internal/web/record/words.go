package record

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/internal/events"
)

// choice is a value of a filter, or an address, and how it is called.
type choice struct{ Value, Text string }

// types are what can be searched for, in the order in which it comes about. What is not
// here is found by the other filters.
var types = []choice{
	{string(events.TypeMessageSent), "Message sent"}, {string(events.TypeMessageReleased), "Message released"},
	{string(events.TypeMessageCancelled), "Message cancelled"}, {string(events.TypeMessageRecalled), "Message recalled"},
	{string(events.TypeAudienceResolved), "Audience frozen"}, {string(events.TypeDeliveriesCreated), "Deliveries recorded"},
	{string(events.TypeFanoutCompleted), "All deliveries recorded"},
	{string(events.TypeAlertsAccepted), "Alerts accepted"}, {string(events.TypeAlertsFailed), "Alerts failed"},
	{string(events.TypeAlertsSkipped), "Alerts skipped"}, {string(events.TypeAlertsUnknown), "Alerts unknown"},
	{string(events.TypeAlertsReported), "Alerts reported on"}, {string(events.TypeAddressReported), "Address reported not to work"},
	{string(events.TypeReplayPlanned), "Replay planned"}, {string(events.TypeReplayStarted), "Replay started"},
	{string(events.TypeReplayPaused), "Replay paused"}, {string(events.TypeReplayResumed), "Replay resumed"},
	{string(events.TypeReplayCancelled), "Replay cancelled"}, {string(events.TypeReplayCompleted), "Replay completed"},
	{string(events.TypeAlertingPaused), "Alerting paused"}, {string(events.TypeAlertingResumed), "Alerting resumed"},
	{string(events.TypeParkedRetried), "Parked event retried"}, {string(events.TypeParkedDiscarded), "Parked event discarded"},
	{string(events.TypeDeliveryOpened), "Message opened"}, {string(events.TypeAttachmentDownloaded), "Document downloaded"},
	{string(events.TypeErasureRequested), "Erasure asked for"}, {string(events.TypeErasureWithdrawn), "Erasure withdrawn"},
	{string(events.TypeContentErased), "Content erased"}, {string(events.TypeRetentionChanged), "Retention changed"},
	{string(events.TypeSignedIn), "Signed in"}, {string(events.TypeSignInFailed), "Sign-in failed"},
	{string(events.TypeStaffCreated), "Staff created"}, {string(events.TypeStaffDisabled), "Staff disabled"},
	{string(events.TypeStaffEnabled), "Staff enabled"},
	{string(events.TypeSecondFactorAdded), "Second factor added"}, {string(events.TypeSecondFactorRemoved), "Second factor removed"},
	{string(events.TypeSecondFactorReset), "Second factor reset"}, {string(events.TypePermissionGranted), "Permission given"},
	{string(events.TypePermissionRevoked), "Permission taken"}, {string(events.TypeLabelChanged), "Label changed"},
	{string(events.TypeDirectoryImported), "Directory imported"},
	{string(events.TypeRecordRead), "Record read"}, {string(events.TypeRecordExported), "Record exported"},
	{string(events.TypeReceiptIssued), "Receipt issued"},
}

// called is a type of event in words; one that has none is called as it stands.
func called(t events.Type) string {
	for _, c := range types {
		if c.Value == string(t) {
			return c.Text
		}
	}
	return string(t)
}

// actors gives the names of those who caused something: of staff and portal users as
// they are called now, of a process or an operator as events have it.
func (p *Pages) actors(ctx context.Context, all []string) (map[string]string, error) {
	var staff, portalUsers []string
	for _, actor := range all {
		if id, ok := strings.CutPrefix(actor, "staff:"); ok {
			staff = append(staff, id)
		} else if id, ok := strings.CutPrefix(actor, "portal_user:"); ok {
			portalUsers = append(portalUsers, id)
		}
	}
	names, err := p.Messages.StaffNames(ctx, staff)
	if err != nil {
		return nil, err
	}
	named := map[string]string{}
	for _, actor := range all {
		kind, name, _ := strings.Cut(actor, ":")
		named[actor] = name + " (" + kind + ")"
	}
	for id, name := range names {
		named["staff:"+id] = name
	}
	if names, err = p.Messages.PortalUserNames(ctx, portalUsers); err != nil {
		return nil, err
	}
	for id, name := range names {
		named["portal_user:"+id] = name
	}
	return named, nil
}

// ago says how long something is past.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
