package export_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// An element describes an R4 element: its cardinality, its type and its allowed values. The
// tables follow https://hl7.org/fhir/R4/communication.html, auditevent.html and
// datatypes.html. They are closed, so that a member that R4 does not define is found.
type element struct {
	min, max int // a max of 0 means any number
	of       string
	oneOf    []string // a required binding
}

const many = 0

var (
	one      = func(of string, values ...string) element { return element{1, 1, of, values} }
	optional = func(of string, values ...string) element { return element{0, 1, of, values} }
	any0     = func(of string) element { return element{0, many, of, nil} }
	any1     = func(of string) element { return element{1, many, of, nil} }
)

var structures = map[string]map[string]element{
	"Communication": {
		"resourceType": one("code", "Communication"), "id": optional("id"), "text": optional("Narrative"), "extension": any0("Extension"),
		"identifier": any0("Identifier"), "instantiatesCanonical": any0("uri"), "instantiatesUri": any0("uri"), "basedOn": any0("Reference"),
		"partOf": any0("Reference"), "inResponseTo": any0("Reference"),
		"status":       one("code", "preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "entered-in-error", "unknown"),
		"statusReason": optional("CodeableConcept"), "category": any0("CodeableConcept"), "priority": optional("code", "routine", "urgent", "asap", "stat"),
		"medium": any0("CodeableConcept"), "subject": optional("Reference"), "topic": optional("CodeableConcept"), "about": any0("Reference"),
		"encounter": optional("Reference"), "sent": optional("dateTime"), "received": optional("dateTime"), "recipient": any0("Reference"),
		"sender": optional("Reference"), "reasonCode": any0("CodeableConcept"), "reasonReference": any0("Reference"),
		"payload": any0("Communication.payload"), "note": any0("Annotation"),
	},
	"Communication.payload": {"contentString": optional("string"), "contentAttachment": optional("Attachment"), "contentReference": optional("Reference")},
	"AuditEvent": {
		"resourceType": one("code", "AuditEvent"), "id": optional("id"), "text": optional("Narrative"), "extension": any0("Extension"),
		"type": one("Coding"), "subtype": any0("Coding"), "action": optional("code", "C", "R", "U", "D", "E"), "period": optional("Period"),
		"recorded": one("instant"), "outcome": optional("code", "0", "4", "8", "12"), "outcomeDesc": optional("string"),
		"purposeOfEvent": any0("CodeableConcept"), "agent": any1("AuditEvent.agent"), "source": one("AuditEvent.source"), "entity": any0("AuditEvent.entity"),
	},
	"AuditEvent.agent": {
		"type": optional("CodeableConcept"), "role": any0("CodeableConcept"), "who": optional("Reference"), "altId": optional("string"),
		"name": optional("string"), "requestor": one("boolean"), "location": optional("Reference"), "policy": any0("uri"),
		"media": optional("Coding"), "network": optional("AuditEvent.network"), "purposeOfUse": any0("CodeableConcept"),
	},
	"AuditEvent.network": {"address": optional("string"), "type": optional("code", "1", "2", "3", "4", "5")},
	"AuditEvent.source":  {"site": optional("string"), "observer": one("Reference"), "type": any0("Coding")},
	"AuditEvent.entity": {
		"what": optional("Reference"), "type": optional("Coding"), "role": optional("Coding"), "lifecycle": optional("Coding"),
		"securityLabel": any0("Coding"), "name": optional("string"), "description": optional("string"), "query": optional("base64Binary"),
		"detail": any0("AuditEvent.detail"),
	},
	"AuditEvent.detail": {"type": one("string"), "valueString": optional("string"), "valueBase64Binary": optional("base64Binary")},
	"Coding": {"system": optional("uri"), "version": optional("string"), "code": optional("code"), "display": optional("string"),
		"userSelected": optional("boolean")},
	"CodeableConcept": {"coding": any0("Coding"), "text": optional("string")},
	"Identifier": {"use": optional("code", "usual", "official", "temp", "secondary", "old"), "type": optional("CodeableConcept"),
		"system": optional("uri"), "value": optional("string")},
	"Reference": {"reference": optional("string"), "type": optional("uri"), "identifier": optional("Identifier"), "display": optional("string")},
	"Extension": {"url": one("uri"), "valueString": optional("string")},
	"Attachment": {"extension": any0("Extension"), "contentType": optional("code"), "language": optional("code"), "data": optional("base64Binary"),
		"url": optional("uri"), "size": optional("unsignedInt"), "hash": optional("base64Binary"), "title": optional("string"), "creation": optional("dateTime")},
	"Narrative": {"status": one("code", "generated", "extensions", "additional", "empty"), "div": one("string")},
}

// primitives holds R4's patterns of primitive types.
var primitives = map[string]*regexp.Regexp{
	"code":         regexp.MustCompile(`^[^\s]+(\s[^\s]+)*$`),
	"id":           regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`),
	"uri":          regexp.MustCompile(`^\S+$`),
	"string":       regexp.MustCompile(`^[\s\S]+$`),
	"base64Binary": regexp.MustCompile(`^(\s*([0-9a-zA-Z+/=]){4}\s*)+$`),
	"dateTime":     regexp.MustCompile(`^([0-9]{4})(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00)))?)?)?$`),
	"instant":      regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))$`),
}

// faultsOf returns the places where a resource differs from R4.
func faultsOf(resource map[string]any) []string {
	kind, _ := resource["resourceType"].(string)
	if structures[kind] == nil {
		return []string{fmt.Sprintf("there is no resource %q", kind)}
	}
	return faults(kind, kind, resource)
}

func faults(at, of string, v any) (found []string) {
	fail := func(format string, args ...any) []string { return append(found, at+": "+fmt.Sprintf(format, args...)) }
	switch known := structures[of]; {
	case known != nil:
		object, ok := v.(map[string]any)
		if !ok || len(object) == 0 { // ele-1: an element has a value or children
			return fail("is no %s: %v", of, v)
		}
		for name, member := range object {
			e, ok := known[name]
			if !ok {
				found = fail("R4 knows no %s", name)
				continue
			}
			found = append(found, occurrences(at+"."+name, e, member)...)
		}
		for name, e := range known {
			if _, there := object[name]; e.min > 0 && !there {
				found = fail("lacks %s", name)
			}
		}
		return append(found, invariants(at, of, object)...)
	case of == "boolean":
		if _, ok := v.(bool); !ok {
			return fail("is no boolean: %v", v)
		}
	case of == "unsignedInt":
		if n, ok := v.(float64); !ok || n < 0 || n > 1<<31-1 || n != float64(int(n)) {
			return fail("is no unsignedInt: %v", v)
		}
	default:
		if text, ok := v.(string); !ok || primitives[of] == nil || !primitives[of].MatchString(text) {
			return fail("is no %s: %v", of, v)
		}
	}
	return nil
}

func occurrences(at string, e element, v any) (found []string) {
	if e.max == 1 {
		found = faults(at, e.of, v)
		if text, _ := v.(string); len(e.oneOf) > 0 && !slices.Contains(e.oneOf, text) {
			found = append(found, fmt.Sprintf("%s: %q is not one of %v", at, text, e.oneOf))
		}
		return found
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return []string{at + ": is not a list that holds something"}
	}
	for i, member := range list {
		found = append(found, faults(fmt.Sprintf("%s[%d]", at, i), e.of, member)...)
	}
	return found
}

// invariants checks R4's constraints that the tables can't express.
func invariants(at, of string, o map[string]any) (found []string) {
	has := func(name string) bool { _, ok := o[name]; return ok }
	count := func(names ...string) (n int) {
		for _, name := range names {
			if has(name) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		of    string
		holds bool
		what  string
	}{
		{"AuditEvent.entity", !has("name") || !has("query"), "sev-1: either a name or a query"},
		{"Attachment", !has("data") || has("contentType"), "att-1: data without contentType"},
		{"Communication.payload", count("contentString", "contentAttachment", "contentReference") == 1, "content[x] is 1..1"},
		{"Extension", has("valueString"), "ext-1: a value or extensions"},
		{"AuditEvent.detail", count("valueString", "valueBase64Binary") == 1, "value[x] is 1..1"},
	} {
		if c.of == of && !c.holds {
			found = append(found, at+": "+c.what)
		}
	}
	if query, ok := o["query"].(string); ok {
		if _, err := base64.StdEncoding.DecodeString(query); err != nil {
			found = append(found, at+".query: "+err.Error())
		}
	}
	return found
}

// The tables accept HL7's examples (hl7.org/fhir/R4, CC0), and find changes made to them.
func TestTheTablesFollowR4(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		read := func() map[string]any {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var resource map[string]any
			if err := json.Unmarshal(data, &resource); err != nil {
				t.Fatal(err)
			}
			return resource
		}
		if found := faultsOf(read()); len(found) > 0 {
			t.Errorf("%s: %v", file, found)
		}
		for name, spoil := range map[string]func(map[string]any){
			"another resource": func(r map[string]any) { r["resourceType"] = "Comunication" },
			"a surplus":        func(r map[string]any) { r["hash"] = "x" },
			"an id too long":   func(r map[string]any) { r["id"] = fmt.Sprintf("%065d", 1) },
			"an empty list":    func(r map[string]any) { r["recipient"], r["agent"] = []any{}, []any{} },
			"no list":          func(r map[string]any) { r["recipient"], r["agent"] = map[string]any{}, map[string]any{} },
			"no status":        func(r map[string]any) { delete(r, "status"); delete(r, "source") },
			"another status":   func(r map[string]any) { r["status"], r["outcome"] = "delivered", "1" },
			"a local time":     func(r map[string]any) { r["sent"], r["recorded"] = "2026-01-02T03:04:05", "2026-01-02T03:04:05" },
			"an empty text":    func(r map[string]any) { r["id"] = "" },
		} {
			spoilt := read()
			spoil(spoilt)
			if len(faultsOf(spoilt)) == 0 {
				t.Errorf("%s with %s is accepted", file, name)
			}
		}
	}
}
