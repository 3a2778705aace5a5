package directory

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// bundle reads what a Bundle's entries hold, and the deletions among them: those of a
// bulk export, in the files that its manifest lists as deleted, are the requests of a
// transaction; those of a history stand between the versions.
func (f *fhirFile) bundle(at place, data []byte, manyLines bool) error {
	var b fhirBundle
	if err := json.Unmarshal(data, &b, halfCharacters); err != nil {
		f.into.fault(jsonFault(at, err))
		return nil
	}
	ids := map[string]string{} // of resources that go by another name within the Bundle
	for _, entry := range b.Entry {
		var r struct {
			fhirResource
		}
		if strings.HasPrefix(entry.FullURL, "urn:") && json.Unmarshal(entry.Resource, &r, halfCharacters) == nil && r.ID != "" {
			ids[entry.FullURL] = r.ID
		}
	}
	first := at
	for i, entry := range b.Entry {
		at.entry = first.entry + i + 1
		if manyLines {
			at.line = lineOf(data, entry.offset)
		}
		if b.Type != "history" {
			// The Bundle says what was so when it was made.
			entry.Response.LastModified = firstOf(entry.Response.LastModified, b.Timestamp, string(b.Meta.LastUpdated))
		} else {
			entry.history = i + 1
		}
		if err := f.entry(at, entry, ids); err != nil {
			return err
		}
	}
	return nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// lineOf gives the line on which the value after an offset begins.
func lineOf(data []byte, offset int64) int {
	rest := bytes.TrimLeft(data[offset:], ", \t\r\n")
	return 1 + bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
}

func (f *fhirFile) entry(at place, entry fhirEntry, ids map[string]string) error {
	if strings.EqualFold(entry.Request.Method, "DELETE") {
		return f.deletion(at, entry)
	}
	if len(entry.Resource) == 0 {
		return nil
	}
	resourceType, ours := typeOf(entry.Resource)
	switch {
	case !ours || resourceType == "Bundle":
		f.leave(resourceType, at)
		return nil
	}
	return f.resource(at, resourceType, entry.Resource, entry, ids)
}

// deletion notes that a resource is no more.
func (f *fhirFile) deletion(at place, entry fhirEntry) error {
	path, _, conditional := strings.Cut(entry.Request.URL, "?")
	path = strings.TrimSuffix(path, "/")
	resourceType, id, version := resourceOf(path)
	kind, ours := kindOf(resourceType)
	if !ours {
		parts := strings.Split(path, "/")
		isOurs := func(part string) bool { _, ours := kindOf(part); return ours }
		if slices.ContainsFunc(parts, isOurs) || resourceType == "" && !conditional {
			f.into.fault(fault{place: at, field: "entry.request.url", reason: "does not say which resource was deleted: it must have the form Patient/<id>"})
			return nil
		}
		f.leave(firstOf(resourceType, parts[len(parts)-1]), at)
		return nil
	}
	f.read++
	v := versionRow{place: at, kind: kind, id: id, deleted: true, history: entry.history}
	v.stamp(entry.Response.LastModified, firstOf(version, strings.Trim(entry.Response.ETag, `W/"`)))
	return f.into.version(v)
}
