// Package demo holds a small clinic that nobody is a patient of, for
// `postern up --demo` and for tests. README.md says who is in it.
package demo

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"postern/internal/directory"
)

// FS holds the clinic: a FHIR bulk export, and links.csv.
//
//go:embed *.ndjson links.csv
var FS embed.FS

// Import imports the clinic. Doing it again changes nothing. It may be called
// concurrently.
func Import(ctx context.Context, db directory.Beginner, opts directory.Options) error {
	if _, err := directory.ImportFHIR(ctx, db, FS, opts); err != nil {
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
	files := []directory.File{{Name: "links.csv", Size: info.Size(), Content: links}}
	if _, err := directory.ImportCSV(ctx, db, files, opts); err != nil {
		return fmt.Errorf("importing the demo clinic: %w", err)
	}
	return nil
}
