package record

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"postern/internal/directory"
	"postern/internal/text/language"
)

// Terms in English are those of the directory, and in Spanish they have other days and words.
func TestTerms(t *testing.T) {
	in := func(l language.Language) *http.Request {
		return httptest.NewRequestWithContext(language.With(t.Context(), l), http.MethodGet, "/", nil)
	}
	days := []string{"", "2026-01-31", "2026-03-01", "2026-04-30"}
	for _, from := range days {
		for _, until := range days {
			want, _ := directory.Term(from, until, "2026-03-01")
			if got := term(in(language.English), from, until, "2026-03-01"); got != want {
				t.Errorf("from %q until %q: %q, want %q", from, until, got, want)
			}
		}
	}
	if got := term(in(language.Spanish), "2026-01-31", "2026-04-30", "2026-03-01"); got != "desde el 31 de enero de 2026 hasta el 30 de abril de 2026" {
		t.Error(got)
	}
}
