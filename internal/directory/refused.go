package directory

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
	Lines []WrongLine // the first hundred, or [Options].MostLines, by file and line
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

// faults counts all wrong lines and keeps the first ones.
type faults struct {
	most  int // how many are listed; 0 means mostLines
	files []string
	kept  []fault
	total int
	cut   bool // a file was not read to its end
}

// fault is a wrong line, with the number of its file in the order given.
type fault struct {
	place
	field, reason string
	cut           bool // the rest of the file can't be read
}

func (fs *faults) add(f fault) {
	fs.total++
	fs.cut = fs.cut || f.cut
	if len(fs.kept) < 10*mostLines || len(fs.kept) < fs.most {
		fs.kept = append(fs.kept, f)
	}
}

// addAll adds the wrong lines that another collection keeps.
func (fs *faults) addAll(others faults) {
	for _, f := range others.kept {
		fs.add(f)
	}
}

func (fs *faults) err() error {
	if fs.total == 0 {
		return nil
	}
	return &Refused{Lines: fs.lines(), Total: fs.total}
}

// lines returns the wrong lines to list, in the order of the files.
func (fs *faults) lines() (lines []WrongLine) {
	slices.SortStableFunc(fs.kept, func(a, b fault) int {
		return cmp.Or(a.file-b.file, a.line-b.line, a.entry-b.entry)
	})
	for _, f := range fs.kept[:min(len(fs.kept), cmp.Or(fs.most, mostLines))] {
		lines = append(lines, WrongLine{fs.files[f.file], f.line, f.field, f.reason})
	}
	return lines
}

// at formats a place for an error message.
func (fs *faults) at(p place) string { return fmt.Sprintf("%s:%d", fs.files[p.file], p.line) }
