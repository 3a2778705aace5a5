package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/limits"
)

// The description of the API has the limits and permissions of their tables, and leaves
// no name of a limit as it is.
func TestTheDescriptionHasTheTables(t *testing.T) {
	s := newSystem(t)
	raw := s.anonymous(t).get("/openapi.json").is(http.StatusOK).body
	if left := regexp.MustCompile(`\{[A-Z]\w*\}`).FindAll(raw, -1); left != nil {
		t.Errorf("these are no limits: %s", left)
	}
	type schema struct {
		Description string
		MaxLength   int
		Items       struct{ Enum []policy.Permission }
		Properties  map[string]schema
	}
	var described struct {
		Components struct{ Schemas map[string]schema }
		Paths      map[string]map[string]struct{ Description string }
	}
	if err := json.Unmarshal(raw, &described); err != nil {
		t.Fatal(err)
	}
	schemas, reasons := described.Components.Schemas, 0
	for name, s := range schemas {
		if reason, ok := s.Properties["reason"]; ok && reason.MaxLength > 0 {
			if reasons++; reason.MaxLength != int(limits.Reason) {
				t.Errorf("a reason of %s has at most %d characters", name, reason.MaxLength)
			}
		}
	}
	if reasons < 3 {
		t.Errorf("only %d reasons have a limit", reasons)
	}
	for property, limit := range map[string]string{"subject": limits.Subject.String(), "body": limits.Body.String(), "staff_bcc": limits.StaffBcc.String()} {
		if text := schemas["NewMessage"].Properties[property].Description; !strings.Contains(text, limit) {
			t.Errorf("the description of %s is %q, without %s", property, text, limit)
		}
	}
	if got := policy.Join(schemas["Permissions"].Properties["permissions"].Items.Enum); got != policy.Join(policy.All) {
		t.Errorf("the permissions are %s", got)
	}
	if got := described.Paths["/v1/erasures"]["post"].Description; !strings.HasSuffix(got, "Needs the permission erase_content (Erase Content).") {
		t.Errorf("asking for an erasure is described by %q", got)
	}
}
