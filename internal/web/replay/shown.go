package replay

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/notify/replay"
	"postern/internal/recorder/state"
	"postern/internal/text/language"
)

// shown is a replay with the texts that pages show.
type shown struct {
	replay.Replay
	Planner, Starter, Ender string // by name
	TypedRate               string
	Before                  string // the value of Seen on the reader's page
	language                language.Language
	// RepeatedBy are the replays that hold alerts back which the plan left out.
	RepeatedBy []uuid.UUID
}

// shownOf adds the names of the people who planned, started and ended replays.
func (p *Pages) shownOf(r *http.Request, replays ...replay.Replay) ([]shown, error) {
	var ids []string
	for _, one := range replays {
		for _, actor := range []*string{&one.PlannedBy, one.StartedBy, one.EndedBy} {
			if actor != nil {
				if id, ok := strings.CutPrefix(*actor, "staff:"); ok {
					ids = append(ids, id)
				}
			}
		}
	}
	names, err := p.Messages.StaffNames(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	l := language.From(r.Context())
	name := func(actor *string) string {
		if actor == nil {
			return ""
		}
		kind, id, _ := strings.Cut(*actor, ":")
		switch {
		case names[id] != "":
			return names[id]
		case kind == "process":
			return l.Text("Postern, automatically")
		}
		return l.Text("{name} at the command line", "name", id)
	}
	all := make([]shown, len(replays))
	for i, one := range replays {
		all[i] = shown{Replay: one, language: l, Planner: name(&one.PlannedBy), Starter: name(one.StartedBy), Ender: name(one.EndedBy)}
	}
	return all, nil
}

// HeldAlerts returns the number of alerts of the replay that a pause holds.
func (s shown) HeldAlerts() (n int) {
	for _, h := range s.Held {
		n += h.Alerts
	}
	return n
}

// AllHeld reports whether pauses hold all remaining alerts of the replay.
func (s shown) AllHeld() bool {
	left := s.Count - s.Accepted - s.Failed - s.Skipped - s.Unknown
	for _, n := range s.LeftOutBy {
		left -= n
	}
	return s.Status == replay.Running && len(s.Held) > 0 && s.HeldAlerts() >= left
}

// Words returns the status in words, in English.
func (s shown) Words() string {
	if s.AllHeld() {
		return language.Mark("Held by a pause")
	}
	return map[state.Replay]string{replay.Planned: language.Mark("Planned"), replay.Running: language.Mark("Going out"), replay.Paused: language.Mark("Paused"),
		replay.Completed: language.Mark("Done"), replay.Cancelled: language.Mark("Cancelled")}[s.Status]
}

// Every returns the seconds between polls; 0 if the numbers no longer change.
func (s shown) Every() int {
	if s.Status == replay.Running {
		return 1
	}
	return 0
}

// state identifies the status and the pauses that the page shows.
func (s shown) state() string {
	now := string(s.Status)
	for _, h := range s.Held {
		now += fmt.Sprintf(".%d", h.PausedAt.UnixMicro())
	}
	if s.AllHeld() {
		now += ".all"
	}
	return now
}

// Seen identifies the progress that the page shows: the state, and the quarters of the plan.
func (s shown) Seen() string {
	quarters := 0
	if s.Count > 0 {
		quarters = 4 * s.Done() / s.Count
	}
	return fmt.Sprintf("%s-%d", s.state(), quarters)
}

// News reports whether there is a change to announce.
func (s shown) News() bool { return s.Before != s.Seen() }

// Changed reports whether the status differs from the one that the reader has seen.
func (s shown) Changed() bool { return !strings.HasPrefix(s.Before, s.state()+"-") }

// figure is a number of a replay's progress, with its texts in English.
type figure struct {
	ID, Text, Hint string
	Count, Of      int
}

// Most returns the maximum of the figure's bar.
func (f figure) Most() int { return max(f.Of, 1) }

// Figures returns the progress as numbers.
func (s shown) Figures() []figure {
	return []figure{
		{"done", language.Mark("Done"), language.Mark("Alerts in the plan"), s.Done(), s.Count},
		{"accepted", language.Mark("Accepted"), language.Mark("The e-mail was accepted this time"), s.Accepted, s.Count},
		{"failed", language.Mark("Failed"), language.Mark("The e-mail was refused again"), s.Failed, s.Count},
		{"skipped", language.Mark("Skipped"), language.Mark("The alert was no longer due"), s.Skipped, s.Count},
		{"unknown", language.Mark("Unknown"), language.Mark("The e-mail service never answered"), s.Unknown, s.Count},
		{"left-out", language.Mark("Left out"), language.Mark("Not repeated: something had changed since the plan"), s.LeftOut, s.Count},
	}
}

// tally is a count with its text in the language of the reader.
type tally struct {
	Text  string
	Count int
}

// Reasons returns why the alerts of the plan failed, with counts.
func (s shown) Reasons() []tally { return tallies(s.language, s.ByReason) }

// Exclusions returns why matching alerts are not in the plan, with counts.
func (s shown) Exclusions() []tally { return tallies(s.language, s.Excluded) }

// LeftOutSince returns why alerts of the plan were not repeated, with counts.
func (s shown) LeftOutSince() []tally { return tallies(s.language, s.LeftOutBy) }

func tallies(l language.Language, counts map[string]int) (all []tally) {
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, tally{l.Text(text), counts[text]})
	}
	slices.SortStableFunc(all, func(a, b tally) int { return b.Count - a.Count })
	return all
}

// Chosen returns the filter in words.
func (s shown) Chosen() []string {
	l, f := s.language, s.Filter
	said := []string{statesIn(l, f.State)}
	if f.Reason != "" {
		said = append(said, l.Text("with the reason {reason}", "reason", quoted(l, f.Reason)))
	}
	if len(f.Reasons) > 0 {
		said = append(said, l.Text("with one of the reasons {reasons}", "reasons", quoted(l, f.Reasons...)))
	}
	if f.PortalUsers > 0 {
		said = append(said, l.Count(f.PortalUsers, "of {n} chosen recipient", "of {n} chosen recipients"))
	}
	if f.Domain != "" {
		said = append(said, l.Text("to addresses at {domain}", "domain", f.Domain))
	}
	if f.Attempt > 0 {
		said = append(said, l.Text("at attempt {n}", "n", f.Attempt))
	}
	return said
}

// statesIn says which alerts a filter chooses.
func statesIn(l language.Language, states []events.AlertState) string {
	switch {
	case len(states) != 1:
		return l.Text("Alerts that are failed or unknown")
	case states[0] == events.AlertFailed:
		return l.Text("Alerts that are failed")
	}
	return l.Text("Alerts that are unknown")
}

// quoted returns reasons in quotes.
func quoted(l language.Language, reasons ...string) string {
	all := make([]string, len(reasons))
	for i, one := range reasons {
		all[i] = l.Text("“{words}”", "words", l.Text(one))
	}
	return strings.Join(all, ", ")
}
