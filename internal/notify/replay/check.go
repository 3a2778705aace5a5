package replay

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
)

// Invalid lists all faults of a plan.
type Invalid struct{ Faults []problem.Fault }

func (e *Invalid) Error() string {
	all := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		all[i] = f.Location + " " + f.Message
	}
	return strings.Join(all, "; ")
}

// Problem is the API's answer to such a plan.
func (e *Invalid) Problem() *problem.Error {
	return problem.InvalidRequest.Problem(e.Error(), e.Faults...)
}

// Check reports whether a plan can be made with a filter and a reason. Its error is an
// [Invalid].
func Check(f Filter, reason string) error {
	if _, _, faults := check(f, reason); len(faults) > 0 {
		return &Invalid{faults}
	}
	return nil
}

// maxReasons is how many reasons a filter can have.
const maxReasons = 100

// check completes a filter and names every fault.
func check(f Filter, reason string) (Filter, string, []problem.Fault) {
	var faults []problem.Fault
	fault := func(location, format string, args ...any) {
		faults = append(faults, problem.Fault{Location: location, Message: fmt.Sprintf(format, args...)})
	}
	for i, s := range f.State {
		if s != events.AlertFailed && s != events.AlertUnknown {
			fault(fmt.Sprintf("body.filter.state[%d]", i), "is not failed or unknown: no other alert is ever repeated")
		}
	}
	f.State = slices.Compact(slices.Sorted(slices.Values(f.State)))
	if len(f.State) == 0 {
		f.State = []events.AlertState{events.AlertFailed, events.AlertUnknown}
	}
	if f.From != nil && f.To != nil && !f.From.Before(*f.To) {
		fault("body.filter.to", "is not after from")
	}
	f.Domain = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(f.Domain), "@"))
	if strings.ContainsAny(f.Domain, "@ ") || len(f.Domain) > 253 {
		fault("body.filter.domain", "is not what follows the @ of an address, as example.org")
	}
	f.Reasons = slices.Compact(slices.Sorted(slices.Values(f.Reasons)))
	if len(f.Reasons) == 1 && f.Reason == "" { // one way to say it
		f.Reason, f.Reasons = f.Reasons[0], nil
	}
	if f.Reason != "" && len(f.Reasons) > 0 {
		fault("body.filter.reasons", "and reason can't both be given")
	}
	if utf8.RuneCountInString(f.Reason) > int(limits.Reason) {
		fault("body.filter.reason", "is longer than any reason on the record, %s", limits.Reason)
	}
	if len(f.Reasons) > maxReasons {
		fault("body.filter.reasons", "has more than %d reasons", maxReasons)
	}
	for i, one := range f.Reasons {
		if one == "" || utf8.RuneCountInString(one) > int(limits.Reason) || !utf8.ValidString(one) {
			fault(fmt.Sprintf("body.filter.reasons[%d]", i), "is no reason on the record: it has 1 to %s", limits.Reason)
		}
	}
	f.PortalUserIDs = slices.Compact(slices.Sorted(slices.Values(f.PortalUserIDs)))
	if f.PortalUsers = len(f.PortalUserIDs); f.PortalUsers > int(limits.Recipients) {
		fault("body.filter.portal_user_ids", "has more than %s", limits.Recipients)
	}
	switch reason = strings.TrimSpace(reason); {
	case reason == "":
		fault("body.reason", "is required and can't be blank: say why the alerts are to be repeated")
	case utf8.RuneCountInString(reason) > int(limits.Reason):
		fault("body.reason", "has more than %s", limits.Reason)
	case !utf8.ValidString(reason) || strings.ContainsRune(reason, 0):
		fault("body.reason", "is not text")
	}
	return f, reason, faults
}
