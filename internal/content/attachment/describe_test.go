package attachment

import (
	"mime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a document is called, a browser saves it under that name, and the
// header is one line.
func TestDispositionNamesTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := CleanName(rapid.String().Draw(t, "name"))
		header := disposition(name)
		if strings.ContainsAny(header, "\r\n\x00") {
			t.Fatalf("%q is not one line", header)
		}
		// mime takes one of two names; browsers take the second (RFC 6266, 4.3).
		_, exact, _ := strings.Cut(header, "; filename*")
		kind, params, err := mime.ParseMediaType("attachment; filename*" + exact)
		if err != nil || kind != "attachment" || params["filename"] != name {
			t.Fatalf("%q is read as %q, want %q: %v", header, params["filename"], name, err)
		}
		if kind, params, err := mime.ParseMediaType(strings.TrimSuffix(header, "; filename*"+exact)); err != nil || kind != "attachment" || params["filename"] == "" {
			t.Fatalf("%q names nothing to an old reader: %v, %v", header, params, err)
		}
	})
}
