package state

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"postern/internal/events"
)

var update = flag.Bool("update", false, "write the drawings of docs/states.md")

//go:generate go test -run TestTheDrawings -update

const pagePath = "../../../docs/states.md"

// The drawings of docs/states.md are those of the tables.
func TestTheDrawings(t *testing.T) {
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	was := string(page)
	now := drawn(t, was, "A message", append(lines("[*] --> scheduled: message.sent, held for Undo or for its time", "[*] --> sending: message.sent, due at once"),
		append(draw(MessageMoves), lines("cancelled --> [*]", "recalled --> [*]")...)...))
	now = drawn(t, now, "An alert", append(lines("[*] --> pending: deliveries.created"), draw(AlertMoves)...))
	now = drawn(t, now, "A replay", append(lines("[*] --> planned: replay.planned"),
		append(draw(ReplayMoves), lines("completed --> [*]", "cancelled --> [*]")...)...))
	if *update {
		if err := os.WriteFile(pagePath, []byte(now), 0o644); err != nil { // #nosec G306 -- a file of the repository
			t.Fatal(err)
		}
	} else if now != was {
		t.Error("a drawing of docs/states.md is not that of its table: run go generate ./internal/recorder/state")
	}
}

func lines(all ...string) []string { return all }

func draw[S, By ~string](moves Moves[S, By]) (arrows []string) {
	for _, m := range moves {
		arrows = append(arrows, fmt.Sprintf("%s --> %s: %s", m.From, m.To, m.By))
	}
	return arrows
}

// drawn puts arrows into the drawing below a heading.
func drawn(t *testing.T, page, heading string, arrows []string) string {
	t.Helper()
	place := regexp.MustCompile(`(?s)(\n## ` + heading + "\n.*?\n```mermaid\nstateDiagram-v2\n)(.*?)(```\n)").FindStringSubmatchIndex(page)
	if place == nil {
		t.Fatalf("docs/states.md has no drawing below %q", heading)
	}
	return page[:place[4]] + "    " + strings.Join(arrows, "\n    ") + "\n" + page[place[5]:]
}

// An event moves a message or a replay to the same status, whatever its status was: the
// projection writes that status. And no table has a move twice.
func TestAnEventMovesToOneStatus(t *testing.T) {
	one(t, MessageMoves)
	one(t, ReplayMoves)
	seen := map[Move[events.AlertState, AlertCause]]bool{}
	for _, m := range AlertMoves {
		if seen[m] {
			t.Errorf("%v stands twice", m)
		}
		seen[m] = true
	}
}

func one[S comparable](t *testing.T, moves Moves[S, events.Type]) {
	t.Helper()
	to, from := map[events.Type]S{}, map[Move[S, events.Type]]bool{}
	for _, m := range moves {
		if before, ok := to[m.By]; ok && before != m.To {
			t.Errorf("%s moves to %v and to %v", m.By, before, m.To)
		}
		key := Move[S, events.Type]{From: m.From, By: m.By}
		if from[key] {
			t.Errorf("%s moves twice from %v", m.By, m.From)
		}
		to[m.By], from[key] = m.To, true
	}
}

// Accepted is final, except for later reports of SendGrid; no move leads back to pending.
func TestAcceptedIsFinal(t *testing.T) {
	for _, m := range AlertMoves {
		if m.From == events.AlertAccepted && m.By != Reported || m.To == events.AlertPending {
			t.Errorf("%s --> %s by %s", m.From, m.To, m.By)
		}
	}
}
