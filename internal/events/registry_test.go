package events_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/events/eventstest"
)

// The examples match OfMessage and About of their descriptors.
func TestDescriptorsFitTheExamples(t *testing.T) {
	t.Parallel()
	for _, x := range eventstest.Examples() {
		e := x.Event(t)
		d, ok := events.Describe(e.Type)
		if !ok {
			t.Errorf("%s has no descriptor", e.Type)
		}
		if has := e.MessageID != uuid.Nil; d.OfMessage != events.MaybeMessage && has != (d.OfMessage == events.OneMessage) {
			t.Errorf("%s belongs to a message: %v", e.Type, has)
		}
		var body map[string]any
		if err := json.Unmarshal(e.Data, &body); err != nil {
			t.Fatal(err)
		}
		if public, ok := body["public"].(map[string]any); ok {
			body = public
		}
		_, chunk := body["chunk"]
		_, staff := body["staff_id"]
		named := strings.Contains(string(e.Data), `"portal_user_id"`)
		switch d.About {
		case events.AboutChunk:
			ok = chunk
		case events.AboutStaff:
			ok = staff
		case events.AboutNamed:
			ok = named
		case events.AboutRecipients:
			ok = d.OfMessage == events.OneMessage
		case events.AboutNoOne:
			ok = !chunk && (!named || e.Type == events.TypeRecordRead || e.Type == events.TypeRecordExported) // a filter may name a portal user
		}
		if !ok {
			t.Errorf("%s does not match the About of its descriptor: %s", e.Type, e.Data)
		}
	}
}
