package directory

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// contractName says whether a file has one of the names under which a bulk export's
// files have always been read: then a line that is not JSON is wrong, and not merely
// a sign that the file is something else.
func contractName(name string) bool {
	base := path.Base(name)
	for _, resourceType := range []string{"Patient", "RelatedPerson", "EpisodeOfCare"} {
		if strings.HasPrefix(base, resourceType) && strings.EqualFold(path.Ext(base), ".ndjson") {
			return true
		}
	}
	return false
}

// findFiles lists the files of a folder. What can't be read as a file is named by a
// warning. So are folders within: one may hold an earlier export, or part of this one.
func (im *importer) findFiles(dir fs.FS) error {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return fmt.Errorf("reading the folder: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		info, err := fs.Stat(dir, name) // of what a link leads to
		switch {
		case err != nil:
			return fmt.Errorf("reading the folder: %w", err)
		case info.IsDir():
			im.leave(name, "is a folder within the folder: it was not read. If it belongs to the export, import it by itself")
		case !info.Mode().IsRegular():
			im.leave(name, "is not a file: it was not read")
		default:
			im.toRead = append(im.toRead, len(im.faults.files))
			im.faults.files = append(im.faults.files, name)
			im.size += info.Size()
		}
	}
	return nil
}

// leave names what stays unread.
func (im *importer) leave(name, reason string) {
	im.warnings.add(fault{place: place{file: len(im.faults.files), line: 1}, reason: reason})
	im.faults.files = append(im.faults.files, name)
}
