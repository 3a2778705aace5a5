package events

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// A retry on any machine and at any time has the id of the first try. Another fact has
// another id.
func TestTheSameFactHasTheSameID(t *testing.T) {
	message := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	first, _ := New("/api", "staff:s1", noon, MessageSent{MessageID: message, SenderID: "s1"})
	retry, _ := New("/api", "staff:s1", noon.Add(time.Hour), MessageSent{MessageID: message, SenderID: "s1"})
	if first.ID != retry.ID {
		t.Errorf("a retry has the id %s, the first try %s", retry.ID, first.ID)
	}
	if first.ID.Version() != 5 {
		t.Errorf("the id has version %d, want 5", first.ID.Version())
	}
	// The id of a known fact, written down: changing it would break every record.
	if got, want := first.ID.String(), "0810f10d-fa73-5d23-b1ea-7f03938beecf"; got != want {
		t.Errorf("the id of a known fact is %s, want %s", got, want)
	}
	seen := map[uuid.UUID]string{}
	for _, b := range []Body{
		MessageSent{MessageID: message}, MessageReleased{MessageID: message}, MessageCancelled{MessageID: message},
		DeliveriesCreated{MessageID: message}, DeliveriesCreated{MessageID: message, Chunk: 1},
		AlertOutcome{MessageID: message, Attempt: 1, State: AlertAccepted},
		AlertOutcome{MessageID: message, Attempt: 1, State: AlertUnknown},
		AlertOutcome{MessageID: message, Attempt: 2, State: AlertAccepted},
		AlertOutcome{MessageID: message, Chunk: 11, Attempt: 1, State: AlertAccepted},
		AlertOutcome{MessageID: message, Chunk: 1, Attempt: 11, State: AlertAccepted},
		DeliveryOpened{MessageID: message, PortalUserID: "a"}, DeliveryOpened{MessageID: message, PortalUserID: "b"},
		PermissionChanged{Granted: true}, PermissionChanged{},
	} {
		e, err := New("/x", "y", noon, b)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[e.ID]; ok {
			t.Errorf("%s %v has the id of %s", e.Type, b.Key(), other)
		}
		seen[e.ID] = string(e.Type)
	}
}

func TestHeadersAndBackAgain(t *testing.T) {
	e, err := New("/notify-worker", "process:notify-worker", noon,
		AlertOutcome{MessageID: uuid.New(), Chunk: 3, Chunks: 9, Attempt: 1, State: AlertSkipped})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(e.Header(), e.Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("the event has changed (-sent +read):\n%s", diff)
	}
	if !strings.HasPrefix(e.Subject(), "record.alerts.skipped.") {
		t.Errorf("its subject is %s", e.Subject())
	}
}

func TestBodiesOfTwoTypesDecodeToTheirType(t *testing.T) {
	granted, _ := New("/api", "staff:a", noon, PermissionChanged{Granted: true, StaffID: "s", Permission: "read_record"})
	got, err := Decode[PermissionChanged](granted)
	if err != nil || !got.Granted {
		t.Errorf("permission.granted decoded to %+v, %v", got, err)
	}
	if _, err := Decode[StaffCreated](granted); err == nil {
		t.Error("permission.granted was decoded as staff.created")
	}
}

// New events have the latest version of their type, and all earlier versions are read.
func TestEveryVersionIsDecoded(t *testing.T) {
	sent, _ := New("/api", "staff:s1", noon, MessageSent{MessageID: uuid.New()})
	if sent.Version != 2 {
		t.Errorf("a new message.sent has version %d", sent.Version)
	}
	for version, reads := range map[int]bool{0: false, 1: true, 2: true, 3: false} {
		sent.Version = version
		if _, err := Decode[MessageSent](sent); (err == nil) != reads {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

func TestParseRefusesInvalidEvents(t *testing.T) {
	good, _ := New("/api", "staff:a", noon, StaffCreated{StaffID: "s", Name: "n"})
	for name, spoil := range map[string]func(map[string][]string){
		"no id":              func(h map[string][]string) { delete(h, headerID) },
		"id not a uuid":      func(h map[string][]string) { h[headerID] = []string{"17"} },
		"no type":            func(h map[string][]string) { delete(h, headerType) },
		"time of day":        func(h map[string][]string) { h[headerTime] = []string{"noon"} },
		"other's schema":     func(h map[string][]string) { h[headerDataSchema] = []string{"urn:postern:schema:label.changed:1"} },
		"no version":         func(h map[string][]string) { h[headerDataSchema] = []string{"urn:postern:schema:staff.created:"} },
		"message not id":     func(h map[string][]string) { h[headerMessageID] = []string{"x"} },
		"chunk not a number": func(h map[string][]string) { h[headerChunk] = []string{"one"} },
	} {
		t.Run(name, func(t *testing.T) {
			h := good.Header()
			spoil(h)
			if _, err := Parse(h, good.Data); err == nil {
				t.Error("Parse accepted it")
			}
		})
	}
}

var id = rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`)

func recipients() *rapid.Generator[[]Recipient] {
	link := rapid.Custom(func(t *rapid.T) Link {
		return Link{id.Draw(t, "patient"), rapid.Int32Min(0).Draw(t, "no"), rapid.SampledFrom([]string{"self", "representative"}).Draw(t, "as")}
	})
	return rapid.SliceOf(rapid.Custom(func(t *rapid.T) Recipient {
		return Recipient{id.Draw(t, "id"), rapid.Int32Min(0).Draw(t, "no"), rapid.SliceOfN(link, 0, 4).Draw(t, "links")}
	}))
}

func TestAChunkIsReadBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := DeliveriesCreated{MessageID: uuid.New(), Chunk: rapid.IntRange(0, 1<<20).Draw(t, "chunk"), Recipients: recipients().Draw(t, "recipients")}
		data, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got DeliveriesCreated
		if err := got.UnmarshalJSON(data); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		empty := cmp.FilterValues(func(a, b []Link) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
		none := cmp.FilterValues(func(a, b []Recipient) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
		if diff := cmp.Diff(want, got, empty, none); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
	})
}

// The scanner must accept only the canonical form, byte by byte: otherwise two bodies
// with the same meaning would have two digests.
func FuzzScanChunk(f *testing.F) {
	sample := DeliveriesCreated{Chunk: 3, Recipients: []Recipient{{"pu-1", 17, []Link{{"pt-9", 4, "self"}}}, {"pu-2", 18, nil}}}
	data, _ := sample.MarshalJSON()
	f.Add(data)
	f.Add([]byte(`{"message_id":"00000000-0000-0000-0000-000000000000","chunk":0,"recipients":[]}`))
	f.Add(data[:len(data)-3])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b DeliveriesCreated
		if b.UnmarshalJSON(data) != nil {
			return
		}
		again, err := b.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(data) {
			t.Errorf("accepted:  %q\ncanonical: %q", data, again)
		}
	})
}

func BenchmarkScanChunk(b *testing.B) {
	c := DeliveriesCreated{MessageID: uuid.New()}
	for i := range int32(ChunkSize) {
		c.Recipients = append(c.Recipients, Recipient{uuid.NewString(), i + 1, []Link{{uuid.NewString(), i + 1, "self"}}})
	}
	data, _ := c.MarshalJSON()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := ScanChunk(data, func(*Recipient) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
