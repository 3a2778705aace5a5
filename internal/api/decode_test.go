package api

import (
	"encoding/json"
	"mime"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"postern/internal/content/attachment"
)

// What is taken for JSON is text through and through, and encoding/json reads it
// without putting anything in the place of something else.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":"b"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud800"}`, `{"a":1,"a":2}`, "\"\xff\"", `"\u0000"`, `[{"a":[1,`, `{} {}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if strictJSON.Unmarshal(data, &v) != nil {
			return
		}
		if !utf8.Valid(data) {
			t.Errorf("%q is not UTF-8 and was taken", data)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsRune(string(again), utf8.RuneError) && !strings.ContainsRune(string(data), utf8.RuneError) &&
			!strings.Contains(strings.ToLower(string(data)), `\ufffd`) {
			t.Errorf("%q was read as %q", data, again)
		}
		if strings.Contains(strings.ReplaceAll(string(again), `\\`, ""), `\u0000`) {
			t.Errorf("%q holds a NUL and was taken", data)
		}
	})
}

// Whatever a document is called, a browser saves it under that name, and the
// header is one line.
func TestDispositionNamesTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := attachment.CleanName(rapid.String().Draw(t, "name"))
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
