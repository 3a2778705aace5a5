package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postern/internal/text/number"
)

// WrongLine is a fault in the files of an import. It never quotes a value other than an
// id: a value may be a name, an address or a date of birth.
type WrongLine struct {
	File   string
	Line   int    // counted from 1, the header included
	Field  string // the column or the FHIR element; "" means the whole line
	Reason string
}

// String returns the wrong line as file:line: field: reason.
func (w WrongLine) String() string {
	if w.Field == "" {
		return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", w.File, w.Line, w.Field, w.Reason)
}

// mostLines is the default for the number of wrong lines that an import lists.
const mostLines = 100

// Refused is the error of an import with wrong lines. Nothing was imported.
type Refused struct {
	Lines []WrongLine // the first hundred, or as many as the caller requested, by file and line
	Total int
}

func (e *Refused) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nothing was imported: mend %s and import again", number.Of(e.Total, "wrong field", "wrong fields"))
	for _, line := range e.Lines {
		b.WriteString("\n" + line.String())
	}
	if more := e.Total - len(e.Lines); more > 0 {
		fmt.Fprintf(&b, "\nand %d more", more)
	}
	return b.String()
}

// Faults counts all wrong lines of an import and keeps the first ones.
type Faults struct {
	Most  int      // the maximum number of lines listed; 0 means 100
	Files []string // the names of the files, by number
	Total int      // the number of wrong lines
	Cut   bool     // a file was not read to its end
	kept  []Fault
}

// Fault is a wrong line, with the number of its file in the order given.
type Fault struct {
	Place
	Field, Reason string
	Cut           bool // the rest of the file can't be read
}

// Add counts a wrong line.
func (fs *Faults) Add(f Fault) {
	fs.Total++
	fs.Cut = fs.Cut || f.Cut
	if len(fs.kept) < 10*mostLines || len(fs.kept) < fs.Most {
		fs.kept = append(fs.kept, f)
	}
}

// AddAll adds the wrong lines that another collection keeps.
func (fs *Faults) AddAll(others Faults) {
	for _, f := range others.kept {
		fs.Add(f)
	}
}

// Err returns a [Refused] with the lines, or nil if no line is wrong.
func (fs *Faults) Err() error {
	if fs.Total == 0 {
		return nil
	}
	return &Refused{Lines: fs.Lines(), Total: fs.Total}
}

// Lines returns the first [Faults].Most wrong lines, in the order of the files.
func (fs *Faults) Lines() (lines []WrongLine) {
	slices.SortStableFunc(fs.kept, func(a, b Fault) int {
		return cmp.Or(a.File-b.File, a.Line-b.Line, a.Entry-b.Entry)
	})
	for _, f := range fs.kept[:min(len(fs.kept), cmp.Or(fs.Most, mostLines))] {
		lines = append(lines, WrongLine{fs.Files[f.File], f.Line, f.Field, f.Reason})
	}
	return lines
}

// At formats a place for an error message.
func (fs *Faults) At(p Place) string { return fmt.Sprintf("%s:%d", fs.Files[p.File], p.Line) }
