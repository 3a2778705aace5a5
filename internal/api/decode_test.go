package api

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
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
