package api_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"
)

// The page lists every operation that the description has, and none besides.
func TestDocsListEveryOperation(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	c := s.anonymous(t)
	var described struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(c.get("/openapi.json").is(http.StatusOK).body, &described); err != nil {
		t.Fatal(err)
	}
	page := string(c.get("/docs/plain").is(http.StatusOK).body)
	n := 0
	for path, methods := range described.Paths {
		for method, op := range methods {
			n++
			for _, wanted := range []string{fmt.Sprintf("<code>%s %s</code>", strings.ToUpper(method), html.EscapeString(path)), fmt.Sprintf("id=%q", op.ID)} {
				if !strings.Contains(page, wanted) {
					t.Errorf("the page has no %s", wanted)
				}
			}
		}
	}
	if listed := strings.Count(page, "<section id="); listed != n || n < 50 {
		t.Errorf("the page lists %d operations, the description has %d", listed, n)
	}
}
