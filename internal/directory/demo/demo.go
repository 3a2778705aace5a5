// Package demo holds a small invented clinic for `postern up --demo` and for tests.
// README.md describes its people.
package demo

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"postern/internal/directory/imports"
)

// FS holds the clinic: a FHIR bulk export, and links.csv.
//
//go:embed *.ndjson links.csv
var FS embed.FS

// Import imports the clinic. A second import changes nothing. It may be called concurrently.
func Import(ctx context.Context, db imports.Beginner, opts imports.Options) error {
	if _, err := imports.FHIR(ctx, db, FS, opts); err != nil {
		return fmt.Errorf("importing the demo clinic: %w", err)
	}
	links, err := FS.Open("links.csv")
	if err != nil {
		return err
	}
	defer links.Close()
	info, err := fs.Stat(FS, "links.csv")
	if err != nil {
		return err
	}
	files := []imports.File{{Name: "links.csv", Size: info.Size(), Content: links}}
	if _, err := imports.CSV(ctx, db, files, opts); err != nil {
		return fmt.Errorf("importing the demo clinic: %w", err)
	}
	return nil
}

// IDs returns the ids of all patients and portal users of the clinic, in no order.
func IDs() ([]string, error) {
	var ids []string
	for _, name := range []string{"Patient.ndjson", "RelatedPerson.ndjson"} {
		file, err := FS.Open(name)
		if err != nil {
			return nil, err
		}
		for resources := json.NewDecoder(file); ; {
			var one struct{ ID string }
			if err := resources.Decode(&one); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("reading the demo clinic's %s: %w", name, errors.Join(err, file.Close()))
			}
			ids = append(ids, one.ID)
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
