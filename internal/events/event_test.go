package events

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
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

// New events have the version of their form, and all versions with it are read.
func TestEveryVersionIsDecoded(t *testing.T) {
	sent, _ := New("/api", "staff:s1", noon, MessageSent{MessageID: uuid.New()})
	if sent.Version != 2 {
		t.Errorf("a message.sent that hides no one has version %d", sent.Version)
	}
	hidden, _ := New("/api", "staff:s1", noon, MessageSent{MessageID: uuid.New(), Hidden: &Hidden{}})
	if hidden.Version != 3 {
		t.Errorf("a message.sent that hides people has version %d", hidden.Version)
	}
	hidden.Version = 2
	if _, err := Decode[MessageSent](hidden); err == nil {
		t.Error("a body in parts is read as version 2")
	}
	for version, reads := range map[int]bool{0: false, 1: true, 2: true, 3: false, 4: false} {
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

func byBlocks() *rapid.Generator[DeliveriesByBlock] {
	return rapid.Custom(func(t *rapid.T) DeliveriesByBlock {
		b := DeliveriesByBlock{MessageID: uuid.New(), Chunk: rapid.IntRange(0, 1<<20).Draw(t, "chunk"), Selection: "sha256:" + strings.Repeat("0a", 32),
			Day:    time.Date(2026, 1, 1+rapid.IntRange(0, 400).Draw(t, "day"), 0, 0, 0, 0, time.UTC),
			Groups: rapid.SliceOfN(rapid.StringMatching(`[a-z_]{1,20}`), 1, 3).Draw(t, "groups"), Nonce: NewNonce()}
		no := block.No(0)
		for range rapid.IntRange(1, 6).Draw(t, "blocks") {
			no += block.No(rapid.Int32Range(1, 1000).Draw(t, "step"))
			c := CitedBlock{No: no, Roster: NewNonce()}
			for _, place := range rapid.SliceOfN(rapid.IntRange(0, block.Size-1), 1, 60).Draw(t, "members") {
				c.Members.Add(place)
			}
			b.Blocks = append(b.Blocks, c)
		}
		return b
	})
}

// Blocks are read back as they were written, from the event too. Its parts are what the
// headers say, and a body is public that they don't describe.
func TestBlocksAreReadBackAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := byBlocks().Draw(t, "body")
		e, err := New("/test", "process:test", time.Now(), want)
		if err != nil {
			t.Fatal(err)
		}
		e.Chunk = &ChunkRef{want.Chunk, want.Chunk + 1}
		back, err := Parse(e.Header(), e.Data)
		if err != nil || !back.IsByBlock() {
			t.Fatalf("%+v, %v", back, err)
		}
		got, err := Decode[DeliveriesByBlock](back)
		if err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(block.Members{})); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
		public, private := Parts(e.Header(), e.Data)
		if `{"public":`+string(public)+`,"private":`+string(private)+`}` != string(e.Data) || LeafVersion(e.Header()) != 2 {
			t.Errorf("the parts are %s and %s", public, private)
		}
		shown, err := DecodePublic(public)
		for i := range want.Blocks {
			want.Blocks[i].Members = block.Members{}
		}
		want.Nonce = [nonceSize]byte{}
		if diff := cmp.Diff(want, shown, cmp.AllowUnexported(block.Members{})); diff != "" || err != nil {
			t.Errorf("the public part says (%v; -want +got):\n%s", err, diff)
		}
		if bytes.Contains(public, []byte("members")) || bytes.Contains(public, []byte(unpadded.EncodeToString(got.Nonce[:]))) {
			t.Errorf("the public part is %s", public)
		}
		h := e.Header()
		length := rapid.SampledFrom([]string{"", "0", "-1", "x", "1000000", fmt.Sprint(e.PublicLength + 1), fmt.Sprint(e.PublicLength - 1), "0" + fmt.Sprint(e.PublicLength)}).Draw(t, "length")
		h[headerPublicLength] = []string{length}
		if all, none := Parts(h, e.Data); string(all) != string(e.Data) || none != nil {
			t.Errorf("with the length %q, the parts are %s and %s", length, all, none)
		}
		if _, err := Parse(h, e.Data); err == nil {
			t.Errorf("an event with the length %q was taken", length)
		}
	})
}

// The headers of an event describe the parts of its body, or it is malformed.
func TestHeadersDescribeTheParts(t *testing.T) {
	var b DeliveriesByBlock
	b.Blocks = []CitedBlock{{No: 1}}
	b.Blocks[0].Members.Add(4)
	parts, err := New("/test", "process:test", time.Now(), b)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := New("/test", "process:test", time.Now(), FanoutCompleted{})
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(e *Event, h map[string][]string){
		"no version of the leaf":      func(_ *Event, h map[string][]string) { delete(h, headerLeaf) },
		"no length":                   func(_ *Event, h map[string][]string) { delete(h, headerPublicLength) },
		"another version of the leaf": func(_ *Event, h map[string][]string) { h[headerLeaf] = []string{"3"} },
		"a cut body":                  func(e *Event, _ map[string][]string) { e.Data = e.Data[:len(e.Data)-2] },
		"a body without parts":        func(e *Event, _ map[string][]string) { e.Data = whole.Data },
	} {
		e, h := parts, parts.Header()
		spoil(&e, h)
		if _, err := Parse(h, e.Data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := whole.Header()
	h[headerLeaf] = []string{"2"}
	if _, err := Parse(h, whole.Data); !errors.Is(err, ErrMalformed) {
		t.Errorf("parts of a body that has none: %v", err)
	}
}

// The decoder must accept only the canonical form.
func FuzzDeliveriesByBlock(f *testing.F) {
	var sample DeliveriesByBlock
	sample.Groups, sample.Blocks = []string{"a"}, []CitedBlock{{No: 0}, {No: 7}}
	sample.Blocks[0].Members.Add(0)
	for place := range 40 {
		sample.Blocks[1].Members.Add(place)
	}
	data, _ := sample.MarshalJSON()
	f.Add(data)
	f.Add(data[:len(data)-2])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b DeliveriesByBlock
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
