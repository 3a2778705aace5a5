package sendgrid

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMask(t *testing.T) {
	for _, tt := range []struct{ text, known, want string }{
		{"550 5.1.1 <jo@example.org>: unknown", "", "550 5.1.1 <***@example.org>: unknown"},
		{"jo.smith@example.org,ann@b.example", "", "***@example.org,***@b.example"},
		{`"jo smith"@example.org is full`, "", "***@example.org is full"},
		{"bounces+1-jo=example.org@em.clinic.example", "", "***@em.clinic.example"},
		{"rcpt jo%40example.org", "", "rcpt ***@example.org"},
		{"a@b@c.example", "", "***@c.example"},
		{"jö@exämple.org", "", "***@exämple.org"},
		{"jo@[192.0.2.1] refused", "", "***@[192.0.2.1] refused"},
		{"jo@", "", "***@"},
		{"No such user: Jo.Smith", "jo.smith@example.org", "No such user: ***"},
		{"quota exceeded", "jo@example.org", "quota exceeded"},
	} {
		if got := mask(tt.text, tt.known); got != tt.want {
			t.Errorf("mask(%q, %q) is %q, want %q", tt.text, tt.known, got, tt.want)
		}
	}
}

func TestCleanLeavesNoLocalPartAndNoSecondLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[A-Z]{6}\.[A-Z]{6}`).Draw(t, "local")
		before := rapid.StringMatching(`[a-z <("\r\n\x00é=]{0,320}`).Draw(t, "before")
		text := before + local + "@example.org" + rapid.StringMatching(`[a-z >)"]{0,20}`).Draw(t, "after")
		got := clean(text, "")
		if strings.Contains(got, local[:4]) || strings.ContainsAny(got, "\r\n\x00") || len([]rune(got)) > maxReason {
			t.Fatalf("%q", got)
		}
	})
}
