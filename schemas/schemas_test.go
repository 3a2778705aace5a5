package schemas_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"postern/internal/events"
	"postern/schemas"
)

var (
	someID  = uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	someDay = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	digest  = "sha256:" + strings.Repeat("0a", 32)
	tally   = events.ImportTally{New: 3, Changed: 2, Unchanged: 1}
)

func outcome(state events.AlertState) events.AlertOutcome {
	return events.AlertOutcome{MessageID: someID, Chunk: 1, Chunks: 2, Attempt: 1, Recipients: 3, State: state, Reason: "a reason",
		Exceptions: []events.AlertException{{PortalUserID: "pu-1", PortalUserNo: 1, State: events.AlertSkipped, Reason: "no e-mail address"}},
		Requests:   []events.AlertRequest{{RequestID: someID, SendGridID: "abc", Recipients: 2}}}
}

// repeated is an outcome of a replay.
func repeated(state events.AlertState) events.AlertOutcome {
	o := outcome(state)
	o.Attempt, o.ReplayID, o.Part = 2, &someID, 7
	return o
}

// examples is a body of every type, with everything in it that it may carry.
var examples = []events.Body{
	events.MessageSent{MessageID: someID, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest,
		Attachments: []events.AttachmentFact{{AttachmentID: someID, MediaType: "application/pdf", Size: 4 << 20, SHA256: strings.Repeat("0a", 32)}},
		Recipients:  events.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []string{"active_patients"}},
		StaffBcc:    []string{"s2"}, Hold: events.HoldUndo, ReleaseAt: someDay,
		Confirmed: &events.Confirmed{Count: 7, Digest: digest}},
	events.MessageReleased{MessageID: someID},
	events.MessageCancelled{MessageID: someID, StaffID: "s1"},
	events.MessageRecalled{MessageID: someID, StaffID: "s1", Reason: "wrong document", Opened: 2},
	events.AudienceResolved{MessageID: someID, Count: 3, Chunks: 1, ManifestDigest: digest,
		Included: map[string]int{"added": 3}, Excluded: map[string]int{"deceased": 1}},
	events.DeliveriesCreated{MessageID: someID, Recipients: []events.Recipient{
		{PortalUserID: "pu-1", PortalUserNo: 1, Links: []events.Link{{PatientID: "pt-1", PatientNo: 1, Relationship: "self"}}}}},
	events.FanoutCompleted{MessageID: someID, Deliveries: 3, Chunks: 1},
	outcome(events.AlertAccepted), outcome(events.AlertFailed), outcome(events.AlertSkipped), outcome(events.AlertUnknown),
	events.AlertsReported{MessageID: someID, Requests: []events.ReportedRequest{{RequestID: someID, Chunk: 1, Attempt: 1, Reports: []events.Report{
		{ID: "abc", Type: "bounce", Bounce: "bounce", At: someDay, Status: "5.1.1", Reason: "no such mailbox", Position: 3, PortalUserID: "pu-1", PortalUserNo: 1,
			Dead: []events.DeadAddress{{PortalUserID: "pu-1", PortalUserNo: 1, Version: 2}}}}}}},
	events.DeliveryOpened{MessageID: someID, PortalUserID: "pu-1", PortalUserNo: 1},
	events.AttachmentDownloaded{MessageID: someID, PortalUserID: "pu-1", PortalUserNo: 1, AttachmentID: someID, Request: someID},
	repeated(events.AlertAccepted), repeated(events.AlertFailed), repeated(events.AlertSkipped), repeated(events.AlertUnknown),
	events.ReplayPlanned{ReplayID: someID, Reason: "their provider was down", Count: 3, Digest: digest, ByReason: map[string]int{"mailbox full": 3},
		Excluded: map[string]int{"opened": 1}, Oldest: &someDay, Newest: &someDay, Filter: events.ReplayFilter{MessageID: &someID,
			State: []events.AlertState{events.AlertFailed}, Reason: "mailbox full", From: &someDay, To: &someDay, Attempt: 1, Domain: "example.org"}},
	events.ReplayStarted{ReplayID: someID, Rate: 60}, events.ReplayPaused{ReplayID: someID, Change: someID},
	events.ReplayResumed{ReplayID: someID, Change: someID}, events.ReplayCancelled{ReplayID: someID},
	events.ReplayCompleted{ReplayID: someID, Accepted: 1, Failed: 1, Skipped: 1, Unknown: 1, LeftOut: 1},
	events.SignIn{Attempt: someID, Account: "staff", ID: "s1", Reason: "x"},
	events.SignIn{Failed: true, Attempt: someID, Account: "portal_user", ID: "pu-1", Reason: "wrong_password"},
	events.StaffCreated{StaffID: "s1", Name: "Ada"},
	events.SignIn{Attempt: someID, Account: "staff", ID: "s1", Method: events.ByPasswordAndCode, Reason: "x"},
	events.SignIn{Failed: true, Attempt: someID, Account: "staff", ID: "s1", Method: events.ByOrganisation, Reason: "unknown_address"},
	events.SecondFactor{What: events.FactorAdded, Change: someID, StaffID: "s1"},
	events.SecondFactor{What: events.FactorRemoved, Change: someID, StaffID: "s1"},
	events.SecondFactor{What: events.FactorReset, Change: someID, StaffID: "s1"},
	events.StaffSwitched{Disabled: true, Change: someID, StaffID: "s1"}, events.StaffSwitched{Change: someID, StaffID: "s1"},
	events.PermissionChanged{Granted: true, Change: someID, StaffID: "s1", Permission: "read_record"},
	events.PermissionChanged{Change: someID, StaffID: "s1", Permission: "read_record"},
	events.LabelChanged{Change: someID, Label: "patient", One: "Client", Many: "Clients"},
	events.ReceiptIssued{ReceiptID: someID, MessageID: someID, PortalUserID: "pu-1", Digest: digest},
	events.ParkedSettled{Retried: true, ParkedID: someID, Tries: 8, Seq: 17, Consumer: "fanout-bulk", ID: &someID, Type: "message.sent", MessageID: &someID, Reason: "x", Actor: "staff:s1"},
	events.ParkedSettled{ParkedID: someID, Tries: 8, Seq: 17, Consumer: "fanout-bulk", ID: &someID, Type: "message.sent", MessageID: &someID, Reason: "x", Actor: "staff:s1"},
	events.AlertingPaused{Change: someID, MessageID: &someID, Automatic: true, Reason: "x"},
	events.AlertingResumed{Change: someID, MessageID: &someID, Reason: "x"},
	events.DirectoryImported{ImportID: someID, Format: "fhir", Patients: tally, PortalUsers: tally, Links: tally},
	events.RecordRead{Reading: someID, What: events.ReadList, Seq: 7, Format: "csv", Filter: recordFilter, Count: 7},
	events.RecordExported{Export: someID, Format: "csv", Filter: recordFilter, Through: 9, Events: 7, Rows: 7, Bytes: 512,
		Digest: digest, Checkpoint: "postern/record", Covers: 8},
	events.ErasureRequested{ErasureID: someID, MessageID: someID, Reason: "it went to the wrong person"},
	events.ErasureWithdrawn{ErasureID: someID, MessageID: someID},
	events.ContentErased{ErasureID: someID, MessageID: someID, ApprovedBy: "staff:s2", Early: true},
	events.RetentionChanged{Years: 10, Before: 6, After: 7},
	events.AddressReported{ID: "made-up", Type: "bounce", At: time.Unix(1_700_000_000, 0).UTC(), Status: "5.1.1", Reason: "550 no such user",
		Dead: []events.DeadAddress{{PortalUserID: "pu-1", PortalUserNo: 1, Version: 2}}},
}

var recordFilter = events.RecordFilter{MessageID: &someID, PortalUserID: "pu-1", PatientID: "pt-1", Type: "signed_in",
	Actor: "staff:s1", From: &someDay, To: &someDay}

// optional are the members that a body may lack.
var optional = map[string]bool{"confirmed": true, "reason": true, "sendgrid_message_id": true, "seq": true,
	"bounce": true, "status": true, "dead_address_of": true, "oldest": true, "newest": true,
	"/filter/message_id": true, "/filter/from": true, "/filter/to": true, "/filter/domain": true, "/filter/attempt": true}

func event(t *testing.T, body events.Body) events.Event {
	t.Helper()
	e, err := events.New("/test", "process:test", someDay, body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryTypeHasAnExampleThatIsValid(t *testing.T) {
	have := map[string]bool{}
	for _, body := range examples {
		e := event(t, body)
		have[string(e.Type)] = true
		if err := schemas.Validate(e); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(files(t))), slices.Sorted(maps.Keys(have))); diff != "" {
		t.Errorf("(-schemas +examples):\n%s", diff)
	}
}

// Whatever else a body carries, lacks or says in another type is refused: what
// stands on the record is what the schema says, to the member.
func TestNearMissesAreRefused(t *testing.T) {
	for _, body := range examples {
		e := event(t, body)
		for what, data := range nearMisses(t, e.Data) {
			e.Data = data
			if err := schemas.Validate(e); err == nil {
				t.Errorf("%s %s is taken: %s", e.Type, what, data)
			}
		}
	}
}

// nearMisses gives a body with each of its faults.
func nearMisses(t *testing.T, body []byte) map[string][]byte {
	t.Helper()
	misses := map[string][]byte{}
	var root any
	if err := json.Unmarshal(body, &root); err != nil {
		t.Fatal(err)
	}
	keep := func(format string, args ...any) {
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		misses[fmt.Sprintf(format, args...)] = data
	}
	var spoil func(path string, v any, set func(any))
	spoil = func(path string, v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				if delete(v, name); !optional[name] && !optional[path+"/"+name] && !strings.HasSuffix(path, "cluded") && path != "/by_reason" && path != "/filter" {
					keep("without %s/%s", path, name)
				}
				v[name] = member
				spoil(path+"/"+name, member, func(other any) { v[name] = other })
			}
			v["Surplus"] = "x"
			keep("with a surplus in %s/", path)
			delete(v, "Surplus")
		case []any:
			for i, member := range v {
				spoil(path+"/"+strconv.Itoa(i), member, func(other any) { v[i] = other })
			}
		case string:
			set(1)
			keep("with a number at %s", path)
			set(v)
		default:
			set("x")
			keep("with a string at %s", path)
			set(-1)
			keep("with -1 at %s", path)
			set(v)
		}
	}
	spoil("", root, func(any) {})
	return misses
}

func TestAnUnknownVersionIsNamedAsSuch(t *testing.T) {
	e := event(t, events.MessageReleased{MessageID: someID})
	e.Version = 2
	if err := schemas.Validate(e); !errors.Is(err, schemas.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

// files gives every schema by the type that its file is named for.
func files(t *testing.T) map[string]map[string]any {
	t.Helper()
	names, err := fs.Glob(schemas.Files, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, name := range names {
		data, err := schemas.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var schema map[string]any
		if err := json.Unmarshal(data, &schema); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kind, version, ok := strings.Cut(strings.TrimSuffix(name, ".json"), ".v")
		v, err := strconv.Atoi(version)
		if !ok || err != nil {
			t.Fatalf("%s is not named <type>.v<version>.json", name)
		}
		if want := events.SchemaID(events.Type(kind), v); schema["$id"] != want {
			t.Errorf("%s has the $id %v, want %s", name, schema["$id"], want)
		}
		all[kind] = schema
	}
	return all
}

func TestSchemasAreClosed(t *testing.T) {
	for kind, schema := range files(t) {
		closed(t, kind, schema)
	}
}

// closed holds every object that lists its members to having no others, and
// every tuple to its length.
func closed(t *testing.T, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["properties"] != nil && v["additionalProperties"] != false {
			t.Errorf("%s: additionalProperties is %v", path, v["additionalProperties"])
		}
		if v["prefixItems"] != nil && v["items"] != false {
			t.Errorf("%s: items is %v", path, v["items"])
		}
		if v["type"] == "object" && v["properties"] == nil && v["propertyNames"] == nil {
			t.Errorf("%s: an object of anything", path)
		}
		for name, member := range v {
			closed(t, path+"/"+name, member)
		}
	case []any:
		for i, member := range v {
			closed(t, path+"/"+strconv.Itoa(i), member)
		}
	}
}

// asyncapi is as much of asyncapi.yaml as is held to the code.
type asyncapi struct {
	AsyncAPI string `yaml:"asyncapi"`
	Channels map[string]struct {
		Address  string
		Messages map[string]reference
	}
	Operations map[string]struct {
		Action  string
		Channel reference
	}
	Components struct {
		Messages map[string]struct {
			Summary string
			Headers reference
			Payload struct{ Schema reference }
		}
		Schemas map[string]struct {
			Required   []string
			Properties map[string]any
		}
	}
}

type reference struct {
	To string `yaml:"$ref"`
}

func TestAsyncAPINamesEveryTypeAndNoOther(t *testing.T) {
	data, err := schemas.Files.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncapi
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	types := slices.Sorted(maps.Keys(files(t)))
	if diff := cmp.Diff(types, slices.Sorted(maps.Keys(doc.Channels))); diff != "" {
		t.Errorf("channels (-schemas +asyncapi):\n%s", diff)
	}
	if diff := cmp.Diff(types, slices.Sorted(maps.Keys(doc.Components.Messages))); diff != "" {
		t.Errorf("messages (-schemas +asyncapi):\n%s", diff)
	}
	if len(doc.Operations) != len(types) {
		t.Errorf("%d operations for %d types", len(doc.Operations), len(types))
	}
	for _, kind := range types {
		c, m := doc.Channels[kind], doc.Components.Messages[kind]
		for what, pair := range map[string][2]string{
			"address":   {strings.TrimSuffix(events.Type(kind).Filter(), "*") + "{shard}", c.Address},
			"message":   {"#/components/messages/" + kind, c.Messages[kind].To},
			"operation": {"#/channels/" + kind, doc.Operations["publish."+kind].Channel.To},
			"headers":   {"#/components/schemas/headers", m.Headers.To},
			"payload":   {"./" + kind + ".v1.json", m.Payload.Schema.To},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: the %s is %q, want %q", kind, what, pair[1], pair[0])
			}
		}
	}
	headers := doc.Components.Schemas["headers"]
	of := func(body events.Body) []string { return slices.Sorted(maps.Keys(event(t, body).Header())) }
	if diff := cmp.Diff(of(events.SignIn{}), slices.Sorted(slices.Values(headers.Required))); diff != "" {
		t.Errorf("headers that every event has (-code +asyncapi):\n%s", diff)
	}
	if diff := cmp.Diff(of(outcome(events.AlertAccepted)), slices.Sorted(maps.Keys(headers.Properties))); diff != "" {
		t.Errorf("headers that an event may have (-code +asyncapi):\n%s", diff)
	}
}
