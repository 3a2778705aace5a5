package messages

import (
	"context"
	"slices"

	"postern/internal/events"
	"postern/internal/messages"
)

// choice is a value of a filter, and how it is called.
type choice struct{ Value, Text string }

// statuses are what a message can be, in the order of its life.
var statuses = []choice{{"scheduled", "Scheduled"}, {"sending", "Sending"}, {"sent", "Sent"}, {"cancelled", "Cancelled"}, {"recalled", "Recalled"}}

// alerts are what can become of an alert.
var alerts = []choice{{"pending", "Waiting"}, {"accepted", "Alerted"}, {"failed", "Failed"}, {"skipped", "Skipped"}, {"unknown", "Unknown"}}

// noAddress is the choice of those who have no e-mail address. They can't sign in, and
// get a letter.
const noAddress = "no-address"

// alertChoices are what the recipients of a message can be filtered by.
var alertChoices = append(slices.Clone(alerts), choice{noAddress, "Skipped: no e-mail address"})

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

// statusOf is the status of a message in words: that it waits so that it can be
// undone is told from that it waits for its time.
func statusOf(m messages.Message) string {
	if m.Status == "scheduled" && m.Hold == events.HoldUndo {
		return "About to go out"
	}
	return called(statuses, string(m.Status))
}

// addressees are recipients as they were chosen.
type addressees struct {
	Groups []string
	Names  []string // of those who were chosen one by one; the first of them
	More   int      // how many of those are not named
}

// Nobody says that the record has not come to the message yet.
func (a addressees) Nobody() bool { return len(a.Groups)+len(a.Names)+a.More == 0 }

// addresseesOf names up to most of those who were chosen one by one, for each message.
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
				all[i].Names = append(all[i].Names, name)
				all[i].More--
			}
		}
	}
	return all, nil
}
