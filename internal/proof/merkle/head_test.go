package merkle

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// scan reads a head like package json, or returns false.
func TestScanReadsHeadsLikeJSON(t *testing.T) {
	t.Parallel()
	texts := rapid.StringOf(rapid.SampledFrom([]rune(`ab"\\,:{}[]<é `)))
	rapid.Check(t, func(rt *rapid.T) {
		want := packed{texts.Draw(rt, "subject"), rapid.MapOf(texts, rapid.SliceOfN(texts, 1, 2)).Draw(rt, "header")}
		text, err := json.Marshal(want)
		if err != nil {
			rt.Fatal(err)
		}
		var got packed
		if got.scan(string(text)) {
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("%s is read differently (-want +got):\n%s", text, diff)
			}
		}
	})
	for _, text := range []string{`{}`, ``, `{"subject":"a","header":{}}`, `{"subject":"a","header":{"b":["c"],"d":["e"]}}`,
		`{"subject":"a","header":null}`, `{"subject":"a","header":{"b":["c"]`, `{"subject":"a","header":{"b":[]}}`, `{"subject":"a","header":{"b":["c"]}} `} {
		var got, want packed
		if got.scan(text) && (json.Unmarshal([]byte(text), &want) != nil || !cmp.Equal(want, got)) {
			t.Errorf("%s is read as %+v, want %+v", text, got, want)
		}
	}
}
