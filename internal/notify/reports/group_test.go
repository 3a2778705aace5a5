package reports

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/events"
)

// However many reports of one message are in a POST, no event exceeds a NATS server's
// limit, and each report is in one event, under its request.
func TestAPostWithManyReportsOfOneMessage(t *testing.T) {
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	message := uuid.New()
	requests := map[uuid.UUID]*sentRequest{}
	for i, id := range ids {
		requests[id] = &sentRequest{message: message, chunk: i, attempt: 1}
	}
	var reports []*Report
	for i := range 10_000 {
		reports = append(reports, &Report{Request: ids[i%2], Report: events.Report{ID: fmt.Sprint("id-", i), Type: "bounce", Bounce: "blocked",
			Reason: strings.Repeat("<é>", 100), PortalUserID: "u", PortalUserNo: 1}})
	}
	facts := group(reports, requests)
	seen := map[string]bool{}
	for _, fact := range facts {
		body, err := json.Marshal(fact)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 1<<20 {
			t.Errorf("an event has %d bytes", len(body))
		}
		inFact := map[uuid.UUID]bool{}
		for _, one := range fact.Requests {
			if inFact[one.RequestID] || one.Chunk != requests[one.RequestID].chunk || len(one.Reports) == 0 {
				t.Errorf("request %s appears twice, or is wrong", one.RequestID)
			}
			inFact[one.RequestID] = true
			for _, r := range one.Reports {
				if seen[r.ID] {
					t.Errorf("report %s appears twice", r.ID)
				}
				seen[r.ID] = true
			}
		}
	}
	if len(seen) != len(reports) || len(facts) < 2 {
		t.Errorf("%d of %d reports are in %d events", len(seen), len(reports), len(facts))
	}
}
