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

// findFiles lists the files of a folder and of those in it, in the order of their
// names. What can't be read as a file is named by a warning.
func (im *importer) findFiles(dir fs.FS) error {
	err := fs.WalkDir(dir, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."):
			im.leave(name, "is a hidden folder")
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		info, err := fs.Stat(dir, name) // of what a link leads to
		switch {
		case err != nil:
			return err
		case info.IsDir():
			im.leave(name, "is a link to another folder")
		case !info.Mode().IsRegular():
			im.leave(name, "is not a file that can be read")
		default:
			im.toRead = append(im.toRead, len(im.faults.files))
			im.faults.files = append(im.faults.files, name)
			im.size += info.Size()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the folder: %w", err)
	}
	return nil
}

// leave names what stays unread.
func (im *importer) leave(name, why string) {
	im.warnings.add(fault{place: place{file: len(im.faults.files), line: 1}, reason: why + ": it was not read"})
	im.faults.files = append(im.faults.files, name)
}
