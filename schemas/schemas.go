// Package schemas holds the JSON Schema of each type and version of event, as
// <type>.v<version>.json, and asyncapi.yaml, which ties them to their subjects.
//
// A schema that events were published under is never edited: a change gets a new
// version beside it. So a schema states the shape of a body and bounds of safety. What a
// clinic may decide, such as the permissions that exist or the size of a document, is
// checked by the code that publishes. Validate is safe to call from many goroutines at once.
package schemas

//go:generate go test -run TestAsyncAPI$ -update .

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"postern/internal/events"
)

// Files are the schemas and asyncapi.yaml.
//
//go:embed *.v*.json asyncapi.yaml
var Files embed.FS

// ErrUnknown says that there is no schema of that type and version.
var ErrUnknown = errors.New("no schema of that type and version")

// compiled gives every schema by its $id.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	names, err := fs.Glob(Files, "*.json")
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(names))
	for _, name := range names {
		data, err := Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("reading schema %s: %w", name, err)
		}
		id, _ := doc.(map[string]any)["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			return nil, fmt.Errorf("reading schema %s: %w", name, err)
		}
		ids = append(ids, id)
	}
	all := make(map[string]*jsonschema.Schema, len(ids))
	for _, id := range ids {
		if all[id], err = c.Compile(id); err != nil {
			return nil, fmt.Errorf("compiling schema %s: %w", id, err)
		}
	}
	return all, nil
})

// Validate holds an event's body to the schema of its type and version. Where
// there is none the error wraps [ErrUnknown].
func Validate(e events.Event) error {
	all, err := compiled()
	if err != nil {
		return err
	}
	schema, ok := all[events.SchemaID(e.Type, e.Version)]
	if !ok {
		return fmt.Errorf("%w: %s version %d", ErrUnknown, e.Type, e.Version)
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data))
	if err != nil {
		return fmt.Errorf("the body of %s is not JSON: %w", e.Type, err)
	}
	if err := schema.Validate(body); err != nil {
		return fmt.Errorf("the body of %s: %w", e.Type, err)
	}
	return nil
}
