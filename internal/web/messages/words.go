package messages

import (
	"context"
	"slices"

	"postern/internal/events"
	"postern/internal/messages"
	"postern/internal/text/language"
)

// choice is a value of a filter, with its text in English. Templates translate it.
type choice struct{ Value, Text string }

// statuses are the statuses of a message, in the order in which they follow each other.
var statuses = []choice{{"scheduled", language.Mark("Scheduled")}, {"sending", language.Mark("Sending")}, {"sent", language.Mark("Sent")},
	{"cancelled", language.Mark("Cancelled")}, {"recalled", language.Mark("Recalled")}}

// alerts are the states of an alert.
var alerts = []choice{{"pending", language.Mark("Waiting")}, {"accepted", language.Mark("Alerted")}, {"failed", language.Mark("Failed")},
	{"skipped", language.Mark("Skipped")}, {"unknown", language.Mark("Unknown")}}

// noAddress selects the recipients without an e-mail address. They can't sign in, and
// get a letter.
const noAddress = "no-address"

// alertChoices are the choices by which a message's recipients can be filtered.
var alertChoices = append(slices.Clone(alerts), choice{noAddress, language.Mark("Skipped: no e-mail address")})

func called(choices []choice, value string) string {
	for _, c := range choices {
		if c.Value == value {
			return c.Text
		}
	}
	return value
}

func among(choices []choice, value string) bool {
	return slices.ContainsFunc(choices, func(c choice) bool { return c.Value == value })
}

// statusOf returns the status of a message in words, in English. It distinguishes the wait for Undo
// from the wait for the scheduled time.
func statusOf(m messages.Message) string {
	if m.Status == "scheduled" && m.Hold == events.HoldUndo {
		return language.Mark("About to go out")
	}
	return called(statuses, string(m.Status))
}

// addressees are the groups and people whom the sender chose.
type addressees struct {
	Groups []string
	Names  []string // the first of the people chosen one by one
	IDs    []string // of the people in Names
	More   int      // the number of people who are not in Names
}

// Empty reports whether the recorder has not reached the message yet.
func (a addressees) Empty() bool { return len(a.Groups)+len(a.Names)+a.More == 0 }

// addresseesOf returns the addressees of each message, with up to most names.
func (p *Pages) addresseesOf(ctx context.Context, messages []messages.Message, most int) ([]addressees, error) {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.PortalUserIDs[:min(most, len(m.PortalUserIDs))]...)
	}
	names, err := p.Messages.PortalUserNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]addressees, len(messages))
	for i, m := range messages {
		all[i] = addressees{Groups: m.Groups, More: m.PortalUsers}
		for _, id := range m.PortalUserIDs[:min(most, len(m.PortalUserIDs))] {
			if name := names[id]; name != "" {
				all[i].Names, all[i].IDs = append(all[i].Names, name), append(all[i].IDs, id)
				all[i].More--
			}
		}
	}
	return all, nil
}
