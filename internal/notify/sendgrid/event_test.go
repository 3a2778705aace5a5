package sendgrid_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/notify/sendgrid"
)

func TestParseEventsAcceptsUnexpectedValues(t *testing.T) {
	got, odd, err := sendgrid.ParseEvents([]byte(`[
		{"sg_event_id":"a","event":"open","timestamp":"1700000000","email":"jo@example.org","category":["x"],"n":3},
		{"sg_event_id":"b","event":"new_kind","timestamp":-1,"attempt_id":"not an id","n":"-4","reason":{"email":"jo@example.org"}},
		{"sg_event_id":"c","event":"deferred","attempt":"5","attempt_id":"0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60","n":"7","type":null,"status":5,"status":"4.2.2"}
	]`))
	want := []sendgrid.Event{
		{ID: "a", Type: "open", At: time.Unix(1_700_000_000, 0).UTC(), Position: 3},
		{ID: "b", Type: "new_kind", Position: -1},
		{ID: "c", Type: "deferred", Attempt: uuid.MustParse("0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60"), Position: 7, Status: "4.2.2"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(sendgrid.Event{})); diff != "" || err != nil || odd != 0 {
		t.Errorf("%v; wanted (-) and got (+):\n%s", err, diff)
	}
}

func TestParseEventsRefusesOtherBodiesAndQuotesNothing(t *testing.T) {
	for _, body := range []string{
		``, `null`, `{}`, `"jo@example.org"`, `[{"sg_event_id":"a","event":"open"}`, `[]]`, `[{"jo@example.org":}]`,
	} {
		events, _, err := sendgrid.ParseEvents([]byte(body))
		if err == nil || events != nil || strings.Contains(err.Error(), "jo") {
			t.Errorf("%s: %v, %v", body, events, err)
		}
	}
	if events, _, err := sendgrid.ParseEvents([]byte(" []\r\n")); err != nil || len(events) != 0 {
		t.Errorf("an empty batch: %v, %v", events, err)
	}
}

// A valid event is read, whatever else is in the POST.
func TestInvalidEventsDoNotAffectOthers(t *testing.T) {
	const good = `{"sg_event_id":"good","event":"bounce","timestamp":1700000000,"attempt_id":"0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60","n":"7"}`
	odd := []string{`null`, `7`, `true`, `"text"`, `[]`, `[[[]]]`, `{}`, `[` + good + `]`, `{"event":"open"}`, `{"sg_event_id":"x"}`, `{"sg_event_id":"x","event":5}`,
		`{"sg_event_id":null,"event":"open"}`, `{"sg_event_id":{},"event":"open"}`, `{"sg_event_id":"","event":"open"}`, `{"sg_event_id":"x","event":" "}`, `{"sg_event_id":[],"event":[]}`}
	fine := []string{`{"sg_event_id":5,"event":"open"}`, `{"sg_event_id":"x","event":"new"}`, `{"sg_event_id":"x","event":"open","timestamp":"soon"}`,
		`{"sg_event_id":"x","event":"open","timestamp":-1}`, `{"sg_event_id":"x","event":"open","timestamp":1e300}`, `{"sg_event_id":"x","event":"open","timestamp":{"a":[1]}}`,
		`{"sg_event_id":"` + strings.Repeat("x", 100_000) + `","event":"` + strings.Repeat("y", 100_000) + `","email":"` + strings.Repeat("z", 100_000) + `@x.test"}`,
		"{\"sg_event_id\":\"\xff\",\"event\":\"\xfe\",\"reason\":\"\\ud800\"}", `{"sg_event_id":"x","sg_event_id":"y","event":"open","n":-3,"attempt_id":[]}`}
	rapid.Check(t, func(t *rapid.T) {
		oddOnes := rapid.SliceOfN(rapid.SampledFrom(odd), 0, 6).Draw(t, "odd")
		fineOnes := rapid.SliceOfN(rapid.SampledFrom(fine), 0, 3).Draw(t, "fine")
		all := rapid.Permutation(slices.Concat(oddOnes, fineOnes, []string{good})).Draw(t, "post")
		got, passed, err := sendgrid.ParseEvents([]byte("[" + strings.Join(all, ",") + "]"))
		if err != nil || passed != len(oddOnes) || len(got) != len(fineOnes)+1 {
			t.Fatalf("%d are read and %d left out: %v", len(got), passed, err)
		}
		at := slices.IndexFunc(got, func(e sendgrid.Event) bool { return e.ID == "good" })
		if at < 0 || got[at].Type != "bounce" || got[at].Position != 7 || got[at].Attempt == uuid.Nil || got[at].At.Unix() != 1_700_000_000 {
			t.Fatalf("the valid event is %+v", got)
		}
	})
}

// Two different ids stay different if they are too long or look like an address.
func TestIDsStayDifferent(t *testing.T) {
	long := strings.Repeat("x", 400)
	got, _, err := sendgrid.ParseEvents([]byte(`[{"sg_event_id":"` + long + `1","event":"a"},{"sg_event_id":"` + long + `2","event":"a"},{"sg_event_id":"jo@x.test","event":"a"},{"sg_event_id":"al@x.test","event":"a"}]`))
	seen := map[string]bool{}
	for _, e := range got {
		seen[e.ID] = true
		if len(e.ID) > 300 || strings.Contains(e.ID, "@") {
			t.Errorf("an id is %s", e.ID)
		}
	}
	if err != nil || len(seen) != 4 {
		t.Errorf("%d ids: %v", len(seen), err)
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte(`[{"email":"jo.smith@example.org","timestamp":1700000000,"event":"bounce","sg_event_id":"x","sg_message_id":"m.1","type":"blocked","status":"5.7.1","reason":"550 jo.smith@example.org","attempt_id":"0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60","n":"9"}]`))
	f.Add([]byte(`[{"sg_event_id":1e3,"event":true,"n":99999999999}]`))
	f.Add([]byte("[{\"sg_event_id\":\"\\ud800\",\"event\":\"\xff\"}]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, _, err := sendgrid.ParseEvents(body)
		if err != nil {
			if events != nil {
				t.Fatal("both events and an error")
			}
			return
		}
		for _, e := range events {
			if e.ID == "" || e.Type == "" || e.Position < -1 || e.At.Year() > 9999 {
				t.Fatalf("%+v", e)
			}
			// No field contains an address.
			text := strings.ReplaceAll(fmt.Sprintf("%+v", e), "***@", "")
			if strings.Contains(text, "smith@") {
				t.Fatalf("%s", text)
			}
		}
	})
}
