package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"postern/internal/access/policy"
)

// lists are the calls of the description that give a list by pages, each with a client
// who may make it and an address.
func (w world) lists(t *testing.T) map[string]*client {
	t.Helper()
	description, err := os.ReadFile("../../schemas/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(description, &spec); err != nil {
		t.Fatal(err)
	}
	reviewer := w.system.staff(t, "Rhea", policy.All...)
	found := map[string]*client{}
	for path, calls := range spec.Paths {
		for _, p := range calls["get"].Parameters {
			if p.Name != "cursor" || p.In != "query" {
				continue
			}
			who := reviewer
			if strings.HasPrefix(path, "/v1/portal/") {
				who = w.pat
			}
			id := w.theirs
			if strings.HasPrefix(path, "/v1/staff/") {
				id = w.bare.id
			}
			if strings.HasPrefix(path, "/v1/portal-users/") {
				id = w.pat.id
			}
			found[strings.ReplaceAll(path, "{id}", id)] = who
		}
	}
	return found
}

// Whatever a client gives for a cursor or a limit, every list answers with a page or
// with what is wrong: never with a fault of ours.
func TestNoCursorBreaksAList(t *testing.T) {
	w := newWorld(t)
	lists := w.lists(t)
	if len(lists) < 8 {
		t.Fatalf("the description has only %d lists", len(lists))
	}
	encode := base64.RawURLEncoding.EncodeToString
	rubbish := []string{"a b", "!", "=", "-1", "0", "1e9", "99999999999999999999", "' OR 1=1 --", "../..", "\u202e", "é", strings.Repeat("A", 64), strings.Repeat("A", 65), strings.Repeat("9", 10_000)}
	// Cursors of every length that a list may give out, at their bounds and beyond.
	perhaps := []string{"1", "2147483646", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808"}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 3, 4, 5, 8, 12, 15, 16, 17, 24, 32} {
		for _, fill := range []byte{0x00, 0x7f, 0x80, 0xff} {
			raw := bytes.Repeat([]byte{0xff}, n)
			raw[0] = fill
			if n > 8 {
				raw[8] = fill
			}
			perhaps = append(perhaps, encode(raw), encode(bytes.Repeat([]byte{fill}, n)))
		}
		raw := make([]byte, n)
		for i := range raw {
			raw[i] = byte(random.UintN(256))
		}
		perhaps = append(perhaps, encode(raw))
	}
	ask := func(who *client, path, name, value string, must int) {
		t.Helper()
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		got := who.get(path + separator + name + "=" + url.QueryEscape(value))
		if got.status != http.StatusUnprocessableEntity && (must != 0 || got.status != http.StatusOK) {
			t.Errorf("%s: %s %.40q is answered with %d: %s", path, name, value, got.status, got.body)
			return
		}
		if got.status == http.StatusUnprocessableEntity {
			got.isProblem(t, "query."+name)
		}
	}
	for path, who := range lists {
		for _, cursor := range rubbish {
			if cursor != "0" && !(cursor == strings.Repeat("A", 64)) {
				ask(who, path, "cursor", cursor, http.StatusUnprocessableEntity)
			} else {
				ask(who, path, "cursor", cursor, 0)
			}
		}
		for _, cursor := range perhaps {
			ask(who, path, "cursor", cursor, 0)
			if strings.HasPrefix(path, "/v1/messages/") {
				for _, filter := range []string{"?alert=failed", "?opened=true", "?alert=pending&opened=false"} {
					ask(who, path+filter, "cursor", cursor, 0)
				}
			}
			if strings.HasSuffix(path, "/portal-users") {
				ask(who, path+"?q=a", "cursor", cursor, 0)
			}
		}
		for _, limit := range []string{"0", "-1", "501", "1.5", "1e2", "0x10", "ten", fmt.Sprint(uint64(1) << 63), strings.Repeat("9", 400), " 1", "\u0663"} {
			ask(who, path, "limit", limit, http.StatusUnprocessableEntity)
		}
		who.get(path + "?limit=500").is(http.StatusOK)
	}
}
