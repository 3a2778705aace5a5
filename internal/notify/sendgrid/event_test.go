package sendgrid_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"postern/internal/notify/sendgrid"
)

func TestParseEventsTakesWhatIsOddAboutOneEvent(t *testing.T) {
	got, err := sendgrid.ParseEvents([]byte(`[
		{"sg_event_id":"a","event":"open","timestamp":"1700000000","email":"jo@example.org","category":["x"],"n":3},
		{"sg_event_id":"b","event":"new_kind","timestamp":-1,"attempt_id":"not an id","n":"-4","reason":{"email":"jo@example.org"}},
		{"sg_event_id":"c","event":"deferred","attempt":"5","attempt_id":"0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60","n":"7","type":null,"status":5,"status":"4.2.2"}
	]`))
	want := []sendgrid.Event{
		{ID: "a", Type: "open", At: time.Unix(1_700_000_000, 0).UTC(), Position: 3},
		{ID: "b", Type: "new_kind", Position: -1},
		{ID: "c", Type: "deferred", Attempt: uuid.MustParse("0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60"), Position: 7, Status: "4.2.2"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(sendgrid.Event{})); diff != "" || err != nil {
		t.Errorf("%v; wanted (-) and got (+):\n%s", err, diff)
	}
}

func TestParseEventsRefusesWhatIsNoBatchAndQuotesNothing(t *testing.T) {
	for _, body := range []string{
		``, `null`, `{}`, `"jo@example.org"`, `[1]`, `["jo@example.org"]`, `[{"email":"jo@example.org"}]`, `[null]`,
		`[{"sg_event_id":"a","event":" "}]`, `[{"sg_event_id":"a","event":"open"}`, `[]]`, `[{"jo@example.org":}]`,
	} {
		events, err := sendgrid.ParseEvents([]byte(body))
		if err == nil || events != nil || strings.Contains(err.Error(), "jo") {
			t.Errorf("%s: %v, %v", body, events, err)
		}
	}
	if events, err := sendgrid.ParseEvents([]byte(" []\r\n")); err != nil || len(events) != 0 {
		t.Errorf("an empty batch: %v, %v", events, err)
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte(`[{"email":"jo.smith@example.org","timestamp":1700000000,"event":"bounce","sg_event_id":"x","sg_message_id":"m.1","type":"blocked","status":"5.7.1","reason":"550 jo.smith@example.org","attempt_id":"0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60","n":"9"}]`))
	f.Add([]byte(`[{"sg_event_id":1e3,"event":true,"n":99999999999}]`))
	f.Add([]byte("[{\"sg_event_id\":\"\\ud800\",\"event\":\"\xff\"}]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := sendgrid.ParseEvents(body)
		if err != nil {
			if events != nil {
				t.Fatal("events beside an error")
			}
			return
		}
		for _, e := range events {
			if e.ID == "" || e.Type == "" || e.Position < -1 || e.At.Year() > 9999 {
				t.Fatalf("%+v", e)
			}
			// An address never survives in any field.
			text := strings.ReplaceAll(fmt.Sprintf("%+v", e), "***@", "")
			if strings.Contains(text, "smith@") {
				t.Fatalf("%s", text)
			}
		}
	})
}
