package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"postern/internal/problem"
)

// description is /openapi.json, for tests that walk through it.
type description struct {
	raw        any
	OpenAPI    string
	Info       struct{ Title, Version, Description string }
	Servers    []struct{ URL string }
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]describedOperation
	Components struct {
		Schemas         map[string]describedSchema
		Responses       map[string]describedResponse
		SecuritySchemes map[string]struct{ Description string }
	}
}

type describedOperation struct {
	ID          string `json:"operationId"`
	Summary     string
	Description string
	Tags        []string
	Security    *[]map[string][]string
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                json.RawMessage
		Example               any
	}
	RequestBody *describedResponse
	Responses   map[string]describedResponse
}

type describedResponse struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]struct {
		Schema   json.RawMessage
		Example  any
		Examples map[string]struct{ Value any }
	}
}

type describedSchema struct {
	Ref         string `json:"$ref"`
	Description string
	Properties  map[string]describedSchema
	Items       *describedSchema
	Type        any
	Format      string
	Enum        []any
	Examples    []any
}

func describedBy(t *testing.T, s *system) description {
	t.Helper()
	body := s.anonymous(t).get("/openapi.json").is(http.StatusOK).body
	var d description
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	d.raw = raw
	return d
}

// each calls f for every operation, with its method and path.
func (d description) each(f func(call string, op describedOperation)) {
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for method, op := range d.Paths[path] {
			f(strings.ToUpper(method)+" "+path, op)
		}
	}
}

// No operation, parameter, field, answer or kind of problem is without a description.
func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	d := describedBy(t, newSystem(t))
	topics := map[string]bool{}
	for _, tag := range d.Tags {
		topics[tag.Name] = true
		if tag.Description == "" {
			t.Errorf("the topic %s has no description: see topicDocs", tag.Name)
		}
	}
	d.each(func(call string, op describedOperation) {
		if op.Summary == "" {
			t.Errorf("%s has no description", call)
		}
		if len(op.Tags) != 1 || !topics[op.Tags[0]] {
			t.Errorf("%s has no topic: add the beginning of its path to topics in topics.go", call)
		}
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("%s: the parameter %s is not described", call, p.Name)
			}
		}
		if op.RequestBody != nil && op.RequestBody.Description == "" {
			t.Errorf("%s: its request is not described", call)
		}
		for status, r := range op.Responses {
			if r.Ref == "" && r.Description == "" {
				t.Errorf("%s: its answer %s is not described", call, status)
			}
		}
	})
	var walk func(where string, s describedSchema)
	walk = func(where string, s describedSchema) {
		if s.Description == "" {
			t.Errorf("%s is not described: give its field the tag doc, or see fields.go", where)
		}
		for name, p := range s.Properties {
			walk(where+"."+name, p)
		}
		if s.Items != nil {
			for name, p := range s.Items.Properties {
				walk(where+"[]."+name, p)
			}
		}
	}
	for name, s := range d.Components.Schemas {
		walk(name, s)
	}
	for _, k := range problem.Kinds() {
		shown := d.Components.Responses[fmt.Sprintf("Problem%d", k.Status)].Content["application/problem+json"].Examples[k.Name].Value
		if k.Status != http.StatusMethodNotAllowed && shown == nil { // no operation answers 405
			t.Errorf("no answer has an example of the problem %s", k.Name)
		}
		if !strings.Contains(d.Info.Description, "`"+k.Type()+"`") {
			t.Errorf("the guide does not list %s", k.Type())
		}
	}
	for _, section := range []string{"Sign in", "Errors", "Paging", "Idempotency", "Webhooks"} {
		if !strings.Contains(d.Info.Description, "\n## "+section+"\n") {
			t.Errorf("the guide has no section %s", section)
		}
	}
}

// Each request and each answer has an example, and each example is valid by its schema. No text
// without a format is empty for want of one.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	d := describedBy(t, newSystem(t))
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", d.raw); err != nil {
		t.Fatal(err)
	}
	check := func(where, pointer string, example any) {
		t.Helper()
		schema, err := compiler.Compile("openapi.json#" + pointer)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if err := schema.Validate(plain(t, example)); err != nil {
			t.Errorf("the example of %s: %v", where, err)
		}
	}
	n := 0
	bodies := func(where, pointer string, r describedResponse) {
		for mediaType, m := range r.Content {
			at := pointer + "/content/" + escape(mediaType) + "/schema"
			switch {
			case m.Example != nil:
				n++
				check(where, at, m.Example)
			case len(m.Examples) > 0:
				for name, e := range m.Examples {
					check(where+" "+name, at, e.Value)
				}
			case !strings.Contains(string(m.Schema), `"binary"`):
				t.Errorf("%s has no example", where)
			}
		}
	}
	d.each(func(call string, op describedOperation) {
		method, path, _ := strings.Cut(call, " ")
		pointer := "/paths/" + escape(path) + "/" + strings.ToLower(method)
		for i, p := range op.Parameters {
			if p.Example != nil {
				check(call+" "+p.Name, fmt.Sprintf("%s/parameters/%d/schema", pointer, i), p.Example)
			}
		}
		if op.RequestBody != nil {
			bodies("the request of "+call, pointer+"/requestBody", *op.RequestBody)
		}
		for status, r := range op.Responses {
			bodies(call+" "+status, pointer+"/responses/"+status, r)
		}
	})
	for name, r := range d.Components.Responses {
		bodies(name, "/components/responses/"+name, r)
	}
	for name, s := range d.Components.Schemas {
		for property, p := range s.Properties {
			if p.Type == "string" && p.Format == "" && len(p.Enum) == 0 && len(p.Examples) == 0 {
				t.Errorf("%s.%s has no example: give its field the tag example, or see fields.go", name, property)
			}
			for _, example := range p.Examples {
				check(name+"."+property, "/components/schemas/"+escape(name)+"/properties/"+escape(property), example)
			}
		}
	}
	if n < 80 {
		t.Errorf("only %d bodies have an example", n)
	}
}

// plain returns a value as the validator reads it.
func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	read, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// escape makes a part of a JSON pointer in a fragment.
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "{", "%7B", "}", "%7D", " ", "%20", ";", "%3B", "=", "%3D", "+", "%2B").Replace(name)
}

// The description keeps the recommended rules of `redocly lint` that it once broke, and those that
// a new operation could break. `make docs-lint` runs the program itself.
func TestDescriptionRules(t *testing.T) {
	t.Parallel()
	d := describedBy(t, newSystem(t))
	top, _ := d.raw.(map[string]any)
	info, _ := top["info"].(map[string]any)
	if info["license"] == nil {
		t.Error("info-license: there is no licence")
	}
	if len(d.Servers) == 0 {
		t.Error("no-empty-servers: there is no server")
	}
	ids := map[string]bool{}
	shapes := map[string]string{}
	parameter := regexp.MustCompile(`\{(\w+)\}`)
	for path := range d.Paths {
		shape := parameter.ReplaceAllString(path, "{}")
		if other := shapes[shape]; other != "" {
			t.Errorf("no-identical-paths: %s and %s", path, other)
		}
		shapes[shape] = path
		if strings.HasSuffix(path, "/") || strings.Contains(path, "?") {
			t.Errorf("path-not-include-query, no-path-trailing-slash: %s", path)
		}
	}
	d.each(func(call string, op describedOperation) {
		if op.Security == nil {
			t.Errorf("security-defined: %s", call)
			return
		}
		for _, one := range *op.Security {
			for scheme := range one {
				if _, ok := d.Components.SecuritySchemes[scheme]; !ok {
					t.Errorf("security-defined: %s names %s", call, scheme)
				}
			}
		}
		if op.ID == "" || ids[op.ID] || !regexp.MustCompile(`^[a-z_-]+$`).MatchString(op.ID) {
			t.Errorf("operation-operationId-unique, operation-operationId-url-safe: %s has %q", call, op.ID)
		}
		ids[op.ID] = true
		statuses := strings.Join(slices.Sorted(maps.Keys(op.Responses)), " ")
		if !strings.HasPrefix(statuses, "2") || !strings.Contains(statuses, " 4") {
			t.Errorf("operation-2xx-response, operation-4xx-response: %s has %s", call, statuses)
		}
		var in []string
		for _, p := range op.Parameters {
			if p.In == "path" {
				in = append(in, "{"+p.Name+"}")
				if !p.Required {
					t.Errorf("path-parameters-defined: %s: %s is not required", call, p.Name)
				}
			}
		}
		if wanted := parameter.FindAllString(call, -1); len(wanted) != len(in) {
			t.Errorf("path-parameters-defined: %s has %v", call, in)
		}
	})
	words := map[string]bool{}
	schemaWords(top, false, words)
	for word := range words {
		if !slices.Contains([]string{"type", "title", "description", "$ref", "format", "default", "examples", "items", "additionalProperties", "properties",
			"enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "required", "contentEncoding", "contentMediaType",
			"minProperties", "maxProperties", "readOnly", "writeOnly", "deprecated", "oneOf", "anyOf", "allOf", "not"}, word) {
			t.Errorf("struct: a schema has the word %s", word)
		}
	}
	used := map[string]bool{}
	text := string(must(json.Marshal(d.raw)))
	for _, name := range regexp.MustCompile(`#/components/schemas/(\w+)`).FindAllStringSubmatch(text, -1) {
		used[name[1]] = true
	}
	for name := range d.Components.Schemas {
		if !used[name] {
			t.Errorf("no-unused-components: %s", name)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// schemaWords collects the words of all schemas below v. A property may have any name.
func schemaWords(v any, isSchema bool, words map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			schemaWords(one, isSchema, words)
		}
	case map[string]any:
		for name, one := range v {
			switch {
			case name == "example" || name == "examples" || name == "default" || name == "enum":
				if isSchema {
					words[name] = true
				}
			case name == "schema":
				schemaWords(one, true, words)
			case name == "schemas" || isSchema && name == "properties":
				if isSchema {
					words[name] = true
				}
				all, _ := one.(map[string]any)
				for _, s := range all {
					schemaWords(s, true, words)
				}
			default:
				if isSchema {
					words[name] = true
				}
				schemaWords(one, isSchema, words)
			}
		}
	}
}
