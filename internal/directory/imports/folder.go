package imports

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"postern/internal/directory/source"
	"postern/internal/directory/source/fhir"
)

// findFiles lists the files of a folder, and of the folder of deletions inside it. It
// warns of entries that can't be read as files, and of other folders: one may hold an
// earlier export, or part of this one.
func (im *importer) findFiles(dir fs.FS) error { return im.findFilesIn(dir, ".") }

func (im *importer) findFilesIn(dir fs.FS, within string) error {
	entries, err := fs.ReadDir(dir, within)
	if err != nil {
		return fmt.Errorf("reading the folder: %w", err)
	}
	for _, entry := range entries {
		name := path.Join(within, entry.Name())
		info, err := fs.Stat(dir, name) // follows symbolic links
		switch {
		case errors.Is(err, fs.ErrNotExist):
			im.leave(name, "is a link to a file that does not exist: it was not read")
		case err != nil:
			return fmt.Errorf("reading the folder: %w", err)
		case info.IsDir() && within == "." && fhir.IsDeletedFolder(name):
			if err := im.findFilesIn(dir, name); err != nil {
				return err
			}
		case info.IsDir():
			im.leave(name, "is a folder inside the export folder: it was not read. If it is part of the export, import it separately")
		case !info.Mode().IsRegular():
			im.leave(name, "is not a file: it was not read")
		default:
			im.toRead = append(im.toRead, len(im.faults.Files))
			im.faults.Files = append(im.faults.Files, name)
			im.size += info.Size()
		}
	}
	return nil
}

// leave warns of an entry that was not read.
func (im *importer) leave(name, reason string) {
	im.warnings.Add(source.Fault{Place: source.Place{File: len(im.faults.Files), Line: 1}, Reason: reason})
	im.faults.Files = append(im.faults.Files, name)
}
