package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/draft"
	"postern/internal/directory/audience"
	"postern/internal/text/zone"
)

// DraftOperations are the messages that staff are writing on the pages.
type DraftOperations struct {
	Drafts *draft.Drafts
}

// Draft is a message that a staff member is writing on the pages. It is not checked yet: its
// recipients may have left the directory, and its time may have passed.
type Draft struct {
	ID            uuid.UUID        `json:"id" format:"uuid"`
	Subject       string           `json:"subject" doc:"Empty if there is none yet."`
	Recipients    ChosenRecipients `json:"recipients"`
	StaffBcc      []string         `json:"staff_bcc" nullable:"false"`
	AttachmentIDs []uuid.UUID      `json:"attachment_ids" nullable:"false" format:"uuid"`
	SendAt        *time.Time       `json:"send_at" doc:"When it is to be sent; null for at once, and for a time that is not complete."`
	SavedAt       time.Time        `json:"saved_at"`
	ExpiresAt     time.Time        `json:"expires_at"`
}

func draftOf(d draft.Draft) Draft {
	item := Draft{ID: d.ID, Subject: d.Subject, Recipients: chosenIn(d.Recipients), StaffBcc: []string{}, AttachmentIDs: []uuid.UUID{},
		SavedAt: d.SavedAt.UTC(), ExpiresAt: d.SavedAt.Add(draft.Lifetime).UTC()}
	item.StaffBcc = append(item.StaffBcc, d.StaffBcc...)
	item.AttachmentIDs = append(item.AttachmentIDs, d.AttachmentIDs...)
	if at, err := d.When.At(zone.Clinic()); err == nil && at != nil {
		utc := at.UTC()
		item.SendAt = &utc
	}
	return item
}

// namedInLists is how many portal users a list names of each message or draft.
const namedInLists = 10

// chosenIn returns the recipients of a draft as a list of messages has them.
func chosenIn(s audience.Selection) ChosenRecipients {
	first := s.PortalUserIDs[:min(len(s.PortalUserIDs), namedInLists)]
	r := ChosenRecipients{PortalUserIDs: slices.Concat([]string{}, first), PortalUsers: len(s.PortalUserIDs), Groups: []string{}, About: []About{}}
	for _, g := range s.Groups {
		r.Groups = append(r.Groups, string(g))
	}
	for _, a := range s.About {
		if slices.Contains(first, a.PortalUserID) {
			r.About = append(r.About, About(a))
		}
	}
	return r
}

type draftsInput struct{ Page }

func (g DraftOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/drafts", id: "list-drafts", tag: forStaff,
		summary: "My drafts, the latest saved first, without their bodies.", actions: []policy.Action{policy.SendMessage},
	}, func(ctx context.Context, in *draftsInput) (*body[List[Draft]], error) {
		drafts, next, err := g.Drafts.List(ctx, subjectOf(ctx), in.Cursor, in.Limit)
		if errors.Is(err, draft.ErrCursor) {
			return nil, errCursor
		}
		if err != nil {
			return nil, err
		}
		list := List[Draft]{Items: make([]Draft, len(drafts))}
		for i, d := range drafts {
			list.Items[i] = draftOf(d)
		}
		if next != "" {
			list.NextCursor = &next
		}
		return answerWith(list), nil
	})
}
