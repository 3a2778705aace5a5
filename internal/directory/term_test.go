package directory_test

import (
	"testing"

	"postern/internal/directory"
	"postern/internal/text/language"
)

// The first and the last day belong to the term.
func TestTerm(t *testing.T) {
	for _, c := range []struct {
		from, until string
		says        string
		ended       bool
	}{
		{"", "", "", false},
		{"2026-03-01", "", "since 1 March 2026", false},
		{"2026-03-02", "", "begins on 2 March 2026", false},
		{"2026-03-02", "2026-04-30", "begins on 2 March 2026, until 30 April 2026", false},
		{"", "2026-03-01", "until 1 March 2026", false},
		{"", "2026-02-28", "ended on 28 February 2026", true},
		{"2026-01-31", "2026-02-28", "began on 31 January 2026, ended on 28 February 2026", true},
		{"2026-01-31", "2026-03-01", "from 31 January 2026 until 1 March 2026", false},
	} {
		if says, ended := directory.Term(language.English, c.from, c.until, "2026-03-01"); says != c.says || ended != c.ended {
			t.Errorf("from %q until %q: %q, %v", c.from, c.until, says, ended)
		}
	}
	if says, _ := directory.Term(language.Spanish, "2026-01-31", "2026-04-30", "2026-03-01"); says != "del 31 de enero de 2026 al 30 de abril de 2026" {
		t.Error(says)
	}
}
