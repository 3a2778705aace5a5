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

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"postern/internal/events"
	"postern/internal/events/eventstest"
	"postern/schemas"
)

var digest = "sha256:" + strings.Repeat("0a", 32)

// optional are the members that a body may lack.
var optional = map[string]bool{"logo": true, "confirmed": true, "reason": true, "sendgrid_message_id": true, "seq": true, "source": true,
	"bounce": true, "status": true, "dead_address_of": true, "oldest": true, "newest": true,
	"/public/entries": true, "/private/seed": true, // of an outcome without exceptions
	"/filter/message_id": true, "/filter/from": true, "/filter/to": true, "/filter/domain": true, "/filter/attempt": true}

// valid gives every example at every version of its type whose schema it satisfies.
func valid(t *testing.T) (all []events.Event) {
	t.Helper()
	for _, x := range eventstest.Examples() {
		e := x.Event(t)
		d, _ := events.Describe(e.Type)
		found := len(all)
		for e.Version = 1; e.Version <= d.Version; e.Version++ {
			if schemas.Validate(e) == nil {
				all = append(all, e)
			}
		}
		if len(all) == found {
			e.Version = d.Version
			t.Errorf("an example that no version takes: %v", schemas.Validate(e))
		}
	}
	return all
}

// The schemas are those of the registry, from version 1 on, and each takes an example.
func TestEverySchemaHasAnExample(t *testing.T) {
	registered, have := map[string]bool{}, map[string]bool{}
	for _, d := range events.Registry() {
		for v := range d.Version {
			registered[events.SchemaID(d.Type, v+1)] = true
		}
	}
	for _, e := range valid(t) {
		have[events.SchemaID(e.Type, e.Version)] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(registered)), slices.Sorted(maps.Keys(files(t)))); diff != "" {
		t.Errorf("(-registry +schemas):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(registered)), slices.Sorted(maps.Keys(have))); diff != "" {
		t.Errorf("(-registry +examples):\n%s", diff)
	}
}

// Whatever else a body carries, lacks or says in another type is refused: what
// stands on the record is what the schema says, to the member.
func TestNearMissesAreRefused(t *testing.T) {
	for _, e := range valid(t) {
		for what, data := range nearMisses(t, e.Data) {
			e.Data = data
			if err := schemas.Validate(e); err == nil {
				t.Errorf("%s version %d %s is taken: %s", e.Type, e.Version, what, data)
			}
		}
	}
}

// What a clinic may decide is not for a schema that can't change: the last version
// takes any permission, and more and larger documents than are offered today.
func TestSchemasLeaveDecisionsOpen(t *testing.T) {
	many := events.MessageSent{MessageID: uuid.New(), SenderID: "s1", SubjectDigest: digest, BodyDigest: digest, StaffBcc: []string{},
		Recipients: events.Selection{PortalUserIDs: []string{}, Groups: []string{"a_group_of_tomorrow"}}, Hold: events.HoldNone}
	for range 200 {
		many.Attachments = append(many.Attachments, events.AttachmentFact{AttachmentID: uuid.New(), MediaType: "video/mp4", Size: 1 << 34, SHA256: digest[7:]})
	}
	for i := range 20_000 {
		many.Recipients.PortalUserIDs = append(many.Recipients.PortalUserIDs, strconv.Itoa(i))
	}
	tomorrow := events.PermissionChanged{Change: uuid.New(), StaffID: "s1", Permission: "a_permission_of_tomorrow"}
	given := tomorrow
	given.Granted = true
	for _, body := range []events.Body{many, tomorrow, given} {
		e := event(t, body)
		if err := schemas.Validate(e); err != nil {
			t.Error(err)
		}
		e.Version = 1
		if err := schemas.Validate(e); err == nil {
			t.Errorf("version 1 of %s takes it too", e.Type)
		}
	}
}

func event(t *testing.T, body events.Body) events.Event {
	t.Helper()
	return eventstest.Example{Actor: "process:test", Body: body}.Event(t)
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
				if delete(v, name); !optional[name] && !optional[path+"/"+name] && !strings.HasSuffix(path, "cluded") && path != "/by_reason" && path != "/skipped" && path != "/filter" {
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
	e := event(t, events.MessageReleased{MessageID: uuid.New()})
	e.Version = 2
	if err := schemas.Validate(e); !errors.Is(err, schemas.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

// files gives every schema by its $id.
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
		all[events.SchemaID(events.Type(kind), v)] = schema
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

// The headers that asyncapi.yaml lists are those that events have.
func TestAsyncAPIListsTheHeaders(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	if err := yaml.Unmarshal([]byte(asyncAPI(t)), &doc); err != nil {
		t.Fatal(err)
	}
	headers := doc.Components.Schemas["headers"]
	of := func(body events.Body) []string { return slices.Sorted(maps.Keys(event(t, body).Header())) }
	if diff := cmp.Diff(of(events.SignIn{}), slices.Sorted(slices.Values(headers.Required))); diff != "" {
		t.Errorf("headers that every event has (-code +asyncapi):\n%s", diff)
	}
	if diff := cmp.Diff(of(events.AlertOutcome{MessageID: uuid.New()}), slices.Sorted(maps.Keys(headers.Properties))); diff != "" {
		t.Errorf("headers that an event may have (-code +asyncapi):\n%s", diff)
	}
}
