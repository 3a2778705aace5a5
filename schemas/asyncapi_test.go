package schemas_test

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"postern/internal/events"
	"postern/schemas"
)

var update = flag.Bool("update", false, "write asyncapi.yaml")

// asyncAPIHead and asyncAPIHeaders are the parts of asyncapi.yaml that no type changes.
var (
	//go:embed testdata/asyncapi-head.yaml
	asyncAPIHead string
	//go:embed testdata/asyncapi-headers.yaml
	asyncAPIHeaders string
)

// asyncapi.yaml is made from the registry and the descriptions of the schemas.
func TestAsyncAPI(t *testing.T) {
	want := asyncAPI(t)
	if *update {
		if err := os.WriteFile("asyncapi.yaml", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := schemas.Files.ReadFile("asyncapi.yaml"); err != nil || string(got) != want {
		t.Errorf("asyncapi.yaml is not what the registry says: run `go generate ./schemas` (%v)", err)
	}
}

// asyncAPI is what the file must be. The payload of a type with several versions is
// any of them, since old events stay on the stream.
func asyncAPI(t *testing.T) string {
	t.Helper()
	types := events.Registry()
	slices.SortFunc(types, func(a, b events.Descriptor) int { return cmp.Compare(a.Type, b.Type) })
	var channels, operations, messages strings.Builder
	for _, d := range types {
		fmt.Fprintf(&channels, `  %[1]s:
    address: %[2]s{shard}
    parameters:
      shard:
        description: 0 to 63
    messages:
      %[1]s:
        $ref: '#/components/messages/%[1]s'
`, d.Type, strings.TrimSuffix(d.Type.Filter(), "*"))
		fmt.Fprintf(&operations, `  publish.%[1]s:
    action: send
    channel:
      $ref: '#/channels/%[1]s'
`, d.Type)
		fmt.Fprintf(&messages, `    %s:
      summary: %q
      headers:
        $ref: '#/components/schemas/headers'
      payload:
        schemaFormat: application/schema+json;version=draft-2020-12
        schema:
`, d.Type, descriptionOf(t, d))
		if d.Version == 1 {
			fmt.Fprintf(&messages, "          $ref: ./%s.v1.json\n", d.Type)
			continue
		}
		messages.WriteString("          anyOf:\n")
		for v := d.Version; v > 0; v-- {
			fmt.Fprintf(&messages, "            - $ref: ./%s.v%d.json\n", d.Type, v)
		}
	}
	return asyncAPIHead + "channels:\n" + channels.String() + "operations:\n" + operations.String() +
		"components:\n  messages:\n" + messages.String() + asyncAPIHeaders
}

// descriptionOf is that of the schema of new events.
func descriptionOf(t *testing.T, d events.Descriptor) string {
	t.Helper()
	data, err := schemas.Files.ReadFile(fmt.Sprintf("%s.v%d.json", d.Type, d.Version))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Description string }
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	return schema.Description
}
