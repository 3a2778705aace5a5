package verify_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/events"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/verify"
)

// hiding is all events of a message to three portal users by id, who are hidden: one alert
// failed, it was repeated, and SendGrid reported on it.
func (c *cited) hiding(t testing.TB) []events.Event {
	t.Helper()
	if err := entrykey.Ensure(t.Context(), c.pool, c.content); err != nil {
		t.Fatal(err)
	}
	key := must(entrykey.Seals(c.pool).Key(t.Context()))(t)
	all := bulkMessage(t, 1)
	var bodies []events.Body
	for _, e := range all {
		bodies = append(bodies, decoded(t, e))
	}
	m := all[0].MessageID
	sent := bodies[0].(events.MessageSent)
	sent.Recipients = events.Selection{PortalUserIDs: []string{"pu-1", "pu-2", "pu-3"}, Groups: []string{}}
	outcome := bodies[4].(events.AlertOutcome)
	outcome.Exceptions = []events.AlertException{{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertFailed, Reason: "no such mailbox"}}
	outcome.Nos = []int32{1, 2, 3}
	replayed := outcome
	replayed.ReplayID, replayed.Part, replayed.Attempt, replayed.Recipients, replayed.Nos = &m, 1, 2, 1, nil
	reported := events.AlertsReported{MessageID: m, Requests: []events.ReportedRequest{{RequestID: m, Attempt: 1,
		Reports: []events.Report{{ID: "x", Type: "bounce", At: noon, PortalUserID: "pu-2", PortalUserNo: 2}}}}}
	bodies = []events.Body{sent, bodies[1], bodies[2], bodies[3], outcome, replayed, reported}
	var hidden []events.Event
	for i, body := range bodies {
		body = must(events.Hide(body, key))(t)
		e := must(events.New("/test", "process:test", noon.Add(time.Duration(i)*time.Second), body))(t)
		if e.Type == events.TypeDeliveriesCreated {
			e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
		}
		hidden = append(hidden, e)
	}
	// The audience was frozen as the chunk that hides its recipients.
	resolved := bodies[1].(events.AudienceResolved)
	resolved.ManifestDigest = manifestOf(hidden[2].Data)
	hidden[1] = must(events.New("/test", "process:test", hidden[1].Time, resolved))(t)
	return hidden
}

// manifestOf is the digest of a manifest with one chunk.
func manifestOf(chunk []byte) string {
	one := sha256.Sum256(chunk)
	all := sha256.Sum256(one[:])
	return "sha256:" + hex.EncodeToString(all[:])
}

func decoded(t testing.TB, e events.Event) events.Body {
	t.Helper()
	if body := must(events.DecodeHiding(e))(t); body != nil {
		return body
	}
	switch e.Type {
	case events.TypeAudienceResolved:
		return must(events.Decode[events.AudienceResolved](e))(t)
	case events.TypeFanoutCompleted:
		return must(events.Decode[events.FanoutCompleted](e))(t)
	}
	return events.DeliveryOpened{MessageID: e.MessageID, PortalUserID: "pu-2", PortalUserNo: 2}
}

// The people whom an event hides must be those of its root: otherwise the record would say
// something else than the receipts that prove its entries.
func TestHiddenPeopleAreThoseOfTheRoot(t *testing.T) {
	t.Parallel()
	replace := func(at int, old, by string) func([]events.Event) {
		return func(all []events.Event) {
			e := &all[at]
			public, private := events.Parts(e.Header(), e.Data)
			changed := strings.Replace(string(private), old, by, 1)
			if changed == string(private) {
				panic(fmt.Sprintf("%s does not have %s", private, old))
			}
			e.Data = json.RawMessage(`{"public":` + string(public) + `,"private":` + changed + `}`)
			if at == 2 { // so that nothing else is wrong
				resolved, _ := events.Decode[events.AudienceResolved](all[1])
				resolved.ManifestDigest = manifestOf(e.Data)
				all[1].Data, _ = json.Marshal(resolved)
			}
		}
	}
	for name, c := range map[string]struct {
		change func([]events.Event)
		says   string
	}{
		"nothing":                    {func([]events.Event) {}, ""},
		"another chosen":             {replace(0, `"pu-1"`, `"pu-9"`), "event 1: names others than its public part says"},
		"one chosen less":            {replace(0, `"pu-1",`, ``), "event 1: names 2 entries, and its public part says 3"},
		"another recipient":          {replace(2, `["pu-3",3,`, `["pu-3",4,`), "event 3: names others"},
		"an account less":            {replace(2, `[["pt-3",3,"self"]]`, `[]`), "event 3: names others"},
		"another exception":          {replace(4, `"portal_user_no":2`, `"portal_user_no":3`), "event 5: names others"},
		"another reason":             {replace(4, `no such mailbox`, `mailbox full`), "event 5: names others"},
		"an exception of no one":     {replace(4, `"portal_user_no":2`, `"portal_user_no":7`), "event 5: the outcome of chunk 0"},
		"another outcome of another": {replace(5, `"state":"failed"`, `"state":"accepted"`), "event 6: names others"},
		"another report":             {replace(6, `"bounce"`, `"processed"`), "event 7: names others"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clinic := newCited(t)
			all := clinic.hiding(t)
			c.change(all)
			clinic.publish(all...)
			report := clinic.verified()
			if c.says == "" {
				if !report.OK {
					t.Errorf("it says %+v", report)
				}
				return
			}
			says := func(f verify.Fault) bool { return strings.HasPrefix(f.Where+": "+f.What, c.says) }
			if report.OK || !slices.ContainsFunc(report.Faults, says) {
				t.Errorf("it says %+v", report.Faults)
			}
		})
	}
}
