package recorder

import "postern/internal/events"

// addressReported projects what SendGrid said of an address and of no alert.
func addressReported(b *batch, _ *prepared, e events.AddressReported) error {
	for _, d := range e.Dead {
		b.dead.add(d, &events.Report{ID: e.ID, Type: e.Type, At: e.At, Status: e.Status, Reason: e.Reason})
	}
	return nil
}
