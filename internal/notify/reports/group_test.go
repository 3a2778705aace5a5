package reports

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/events"
)

// However much one post says of one message, no event of it outgrows a NATS server's
// limit, and each report is in one event, under its call.
func TestAPostThatSaysMuchOfOneMessage(t *testing.T) {
	calls := []uuid.UUID{uuid.New(), uuid.New()}
	message := uuid.New()
	sendings := map[uuid.UUID]*sending{}
	for i, id := range calls {
		sendings[id] = &sending{message: message, chunk: i, attempt: 1}
	}
	var reports []*Report
	for i := range 10_000 {
		reports = append(reports, &Report{Request: calls[i%2], Report: events.Report{ID: fmt.Sprint("id-", i), Type: "bounce", Bounce: "blocked",
			Reason: strings.Repeat("<é>", 100), PortalUserID: "u", PortalUserNo: 1}})
	}
	facts := group(reports, sendings)
	seen := map[string]bool{}
	for _, fact := range facts {
		body, err := json.Marshal(fact)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 1<<20 {
			t.Errorf("an event has %d bytes", len(body))
		}
		requests := map[uuid.UUID]bool{}
		for _, call := range fact.Requests {
			if requests[call.RequestID] || call.Chunk != sendings[call.RequestID].chunk || len(call.Reports) == 0 {
				t.Errorf("call %s is there twice, or wrong", call.RequestID)
			}
			requests[call.RequestID] = true
			for _, r := range call.Reports {
				if seen[r.ID] {
					t.Errorf("report %s is there twice", r.ID)
				}
				seen[r.ID] = true
			}
		}
	}
	if len(seen) != len(reports) || len(facts) < 2 {
		t.Errorf("%d of %d reports are in %d events", len(seen), len(reports), len(facts))
	}
}
