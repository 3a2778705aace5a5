package fhir

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"postern/internal/directory/source"
)

// bundle reads the entries of a Bundle, including deletions. A bulk export writes its
// deletions, in the files that its manifest lists as deleted, as requests of a
// transaction. A history has its deletions between the versions.
func (f *oneFile) bundle(at source.Place, data []byte, manyLines bool) error {
	var b bundle
	if err := json.Unmarshal(data, &b, allowInvalidUTF8); err != nil {
		f.Into.Fault(jsonFault(at, err))
		return nil
	}
	ids := map[string]string{} // ids of resources, by the URN that refers to them within the Bundle
	for _, entry := range b.Entry {
		var r struct {
			anyResource
		}
		if strings.HasPrefix(entry.FullURL, "urn:") && json.Unmarshal(entry.Resource, &r, allowInvalidUTF8) == nil && r.ID != "" {
			ids[entry.FullURL] = r.ID
		}
	}
	first := at
	for i, entry := range b.Entry {
		at.Entry = first.Entry + i + 1
		if manyLines {
			at.Line = lineOf(data, entry.offset)
		}
		if b.Type != "history" {
			// The Bundle shows the state at the time when it was made.
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

// lineOf returns the line on which the value after an offset begins.
func lineOf(data []byte, offset int64) int {
	rest := bytes.TrimLeft(data[offset:], ", \t\r\n")
	return 1 + bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
}

func (f *oneFile) entry(at source.Place, entry bundleEntry, ids map[string]string) error {
	if strings.EqualFold(entry.Request.Method, "DELETE") {
		return f.deletion(at, entry)
	}
	if len(entry.Resource) == 0 {
		return nil
	}
	resourceType, supported := typeOf(entry.Resource)
	switch {
	case !supported || resourceType == "Bundle":
		f.leave(resourceType, at)
		return nil
	}
	return f.resource(at, resourceType, entry.Resource, entry, ids)
}

// deletion adds the version that says that a resource was deleted.
func (f *oneFile) deletion(at source.Place, entry bundleEntry) error {
	path, _, conditional := strings.Cut(entry.Request.URL, "?")
	path = strings.TrimSuffix(path, "/")
	resourceType, id, version := resourceOf(path)
	kind, supported := kindOf(resourceType)
	if !supported {
		parts := strings.Split(path, "/")
		isSupported := func(part string) bool { _, supported := kindOf(part); return supported }
		if slices.ContainsFunc(parts, isSupported) || resourceType == "" && !conditional {
			f.Into.Fault(source.Fault{Place: at, Field: "entry.request.url", Reason: "does not say which resource was deleted: it must have the form Patient/<id>"})
			return nil
		}
		f.leave(firstOf(resourceType, parts[len(parts)-1]), at)
		return nil
	}
	f.read++
	v := source.Version{Place: at, Kind: kind, ID: id, Deleted: true, History: entry.history}
	stamp(&v, entry.Response.LastModified, firstOf(version, strings.Trim(entry.Response.ETag, `W/"`)))
	return f.Into.Version(v)
}
