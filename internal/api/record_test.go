package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
)

// recorded is a system with a message that pu-1 opened and pu-2 did not, and a
// reviewer.
func recorded(t *testing.T) (s *system, reviewer *client, message string) {
	s = newSystem(t)
	pat := s.portalUser(t, "pu-1")
	s.PortalUser(t, "pu-2")
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	document := ada.upload("a.pdf", pdf).is(http.StatusCreated).text("id")
	m := letter("s", "pu-1", "pu-2")
	m["attachment_ids"] = []string{document}
	message = ada.send(m)
	s.Deliver(t, uuid.MustParse(message))
	pat.get("/v1/portal/messages/" + message).is(http.StatusOK)
	reviewer = s.staff(t, "Rosa", policy.ReadRecord)
	s.Settle(t)
	return s, reviewer, message
}

func TestTheRecordIsSearched(t *testing.T) {
	t.Parallel()
	_, rosa, message := recorded(t)
	for query, want := range map[string][]string{
		"message_id=" + message:                              {"delivery.opened", "fanout.completed", "deliveries.created", "audience.resolved", "message.sent"},
		"type=delivery.opened":                               {"delivery.opened"},
		"actor=portal_user:pu-1":                             {"delivery.opened", "signed_in"},
		"portal_user_id=pu-2":                                {"deliveries.created", "message.sent"},
		"patient_id=pt-pu-1":                                 {"delivery.opened", "deliveries.created", "message.sent"},
		"portal_user_id=pu-1&type=signed_in":                 {"signed_in"},
		"message_id=" + message + "&to=2020-01-01T00:00:00Z": {},
		"portal_user_id=&type=delivery.opened":               {"delivery.opened"}, // as a form sends what was left empty
		"type=message.sent&from=2020-01-01T00:00:00Z":        {"message.sent"},
	} {
		got := rosa.get("/v1/record?" + query).is(http.StatusOK)
		if diff := cmp.Diff(want, got.all("type")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	first := rosa.get("/v1/record?limit=2&message_id=" + message).is(http.StatusOK)
	second := rosa.get("/v1/record?limit=50&message_id=" + message + "&cursor=" + first.text("next_cursor")).is(http.StatusOK)
	if got := slices.Concat(first.all("type"), second.all("type")); len(got) != 5 || second.at("next_cursor") != nil {
		t.Errorf("two pages give %v, and then %v", got, second.at("next_cursor"))
	}
	seq, _ := json.Marshal(first.at("items.0.seq"))
	whole := rosa.get("/v1/record/" + string(seq)).is(http.StatusOK)
	if whole.text("subject") == "" || whole.text("body.portal_user_id") != "pu-1" || len(whole.text("leaf")) != 64 ||
		whole.text("headers.ce-id.0") != whole.text("id") || whole.text("message_id") != message || whole.at("projected") != true {
		t.Errorf("the event is %s", whole.body)
	}
	rosa.get("/v1/record/1000000").is(http.StatusNotFound)
}

// An export is the same events in each of its forms; its digest comes with it and with
// its manifest; and both its beginning and its end are on the record.
func TestTheRecordIsExported(t *testing.T) {
	t.Parallel()
	s, rosa, message := recorded(t)
	for form, rows := range map[string]int{"csv": 5, "ndjson": 5, "fhir.ndjson": 3} { // 2 Communications, 1 AuditEvent
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/record."+form+"?"+url.Values{"message_id": {message}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+rosa.token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := file.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v: %s", form, res.StatusCode, err, file.Bytes())
		}
		_ = res.Body.Close()
		digest := sha256.Sum256(file.Bytes())
		if got, want := res.Trailer.Get("Repr-Digest"), "sha-256=:"+base64.StdEncoding.EncodeToString(digest[:])+":"; got != want {
			t.Errorf("%s: the trailer says %q, the file has %s", form, got, want)
		}
		if !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment; filename=") {
			t.Errorf("%s is called %s", form, res.Header.Get("Content-Disposition"))
		}
		manifest, _, _ := strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
		m := rosa.get(manifest).is(http.StatusOK)
		if m.text("digest") != "sha256:"+hex.EncodeToString(digest[:]) || m.at("bytes") != float64(file.Len()) ||
			m.at("events") != float64(5) || m.at("rows") != float64(rows) || m.text("filter.message_id") != message || m.text("by") != "staff:"+rosa.id {
			t.Errorf("%s: the manifest is %s", form, m.body)
		}
		if form == "csv" {
			table, err := csv.NewReader(&file).ReadAll()
			if err != nil || len(table) != rows+1 || table[0][0] != "seq" || table[1][2] != "message.sent" {
				t.Errorf("it has %d rows, %v: %v", len(table), err, table)
			}
		} else if n := bytes.Count(file.Bytes(), []byte("\n")); n != rows {
			t.Errorf("%s has %d lines, want %d", form, n, rows)
		}
	}
	s.Settle(t)
	mine := rosa.get("/v1/record?limit=500&actor=staff:" + rosa.id).is(http.StatusOK).all("type")
	for kind, want := range map[string]int{"record.exported": 3, "record.read": 3} {
		n := 0
		for _, k := range mine {
			if k == kind {
				n++
			}
		}
		if n != want {
			t.Errorf("%s stands %d times on the record: %v", kind, n, mine)
		}
	}
	rosa.get("/v1/record/exports/" + uuid.NewString()).is(http.StatusNotFound)
}

// What can't be recorded as read is not read.
func TestTheRecordIsNotReadUnseen(t *testing.T) {
	t.Parallel()
	s, rosa, _ := recorded(t)
	s.Break(&composetest.Fault{Err: eventlog.ErrUnavailable})
	for _, path := range []string{"/v1/record", "/v1/record/1", "/v1/record.csv", "/v1/record.ndjson", "/v1/record.fhir.ndjson"} {
		if got := rosa.get(path).is(http.StatusServiceUnavailable); strings.Contains(string(got.body), "message.sent") {
			t.Errorf("%s shows %s", path, got.body)
		}
	}
}
