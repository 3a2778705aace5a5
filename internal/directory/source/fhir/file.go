package fhir

import (
	"path"
	"strings"
)

// contractName reports whether a file is named like a file of a bulk export. In such a
// file a line that is not JSON is an error; in others it shows that the file is
// something else. Clients put numbers, servers and dates around the type
// (1.Patient.ndjson). Names that begin with a dot belong to an operating system
// (._Patient.ndjson).
func contractName(name string) bool {
	base := strings.ToLower(path.Base(name))
	if strings.HasPrefix(base, ".") {
		return false
	}
	for _, resourceType := range []string{"patient", "relatedperson", "episodeofcare"} {
		if strings.Contains(base, resourceType) && extension(name) == ".ndjson" {
			return true
		}
	}
	return false
}

// extension returns the extension of a file's name in lower case, ignoring ".gz".
func extension(name string) string {
	return path.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz"))
}

// IsDeletedFolder reports whether a folder holds the files that the manifest of an export
// lists as deleted. Clients of bulk exports keep them in a folder of that name.
func IsDeletedFolder(name string) bool { return strings.EqualFold(name, "deleted") }
