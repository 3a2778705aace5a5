package project

import "postern/internal/events"

// addressReported projects a report of SendGrid about an address, not about an alert.
func addressReported(b *batch, _ *Prepared, e events.AddressReported) error {
	for _, d := range e.Dead {
		b.dead.add(d, &events.Report{ID: e.ID, Type: e.Type, At: e.At, Status: e.Status, Reason: e.Reason})
	}
	return nil
}
