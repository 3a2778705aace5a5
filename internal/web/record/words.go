package record

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/internal/events"
)

// choice is a value of a filter, or an address, with its text.
type choice struct{ Value, Text string }

// types are the event types that the filter offers. Events of a type that a newer
// version published are found by the other filters.
var types = func() (all []choice) {
	for _, d := range events.Registry() {
		all = append(all, choice{string(d.Type), d.Label})
	}
	return all
}()

// actors returns the names of actors: of staff and portal users their present names, of
// a process or an operator the name in the event.
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

// ago writes a duration as a time in the past.
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
