package search

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/messages"
	"postern/internal/text/folding"
)

// window is the number of messages of a list that one search decrypts.
const window = 1000

// Listed is a page of a list of messages, with the decrypted heading of each.
type Listed struct {
	Messages []messages.Message
	Headers  map[uuid.UUID]message.Heading // of each message
	// Next is the message after which the next page begins; [uuid.Nil] at the end.
	Next uuid.UUID
	// SearchedTo is set if the page ends because window messages were searched, and not
	// because it is full. It is the time when the last of them was sent.
	SearchedTo time.Time
}

// List returns the messages that which selects and whose subject contains each word of q.
// Subjects are encrypted, so a search decrypts every one that it checks: it checks a
// thousand and returns where to continue.
func (s *Searcher) List(ctx context.Context, subject policy.Subject, which messages.Query, q string) (Listed, error) {
	limit := which.Limit
	which.Limit++ // whether there is another
	searching := strings.TrimSpace(q) != ""
	if searching {
		which.Limit = window + 1
	}
	found, err := s.cfg.Tracking.Find(ctx, subject.ID, which)
	if err != nil {
		return Listed{}, err
	}
	more := len(found) == which.Limit
	if more {
		found = found[:which.Limit-1]
	}
	headers, err := s.cfg.Reader.Headers(ctx, idsOf(found))
	if err != nil {
		return Listed{}, err
	}
	l := Listed{Headers: headers}
	if more {
		l.Next = found[len(found)-1].ID
	}
	if !searching {
		l.Messages = found
		return l, nil
	}
	for _, m := range found {
		if !folding.Mentions(headers[m.ID].Subject, q) {
			continue
		}
		if len(l.Messages) == limit {
			l.Next = l.Messages[limit-1].ID
			return l, nil
		}
		l.Messages = append(l.Messages, m)
	}
	if more {
		l.SearchedTo = found[len(found)-1].SentAt
	}
	return l, nil
}

func idsOf(messages []messages.Message) []uuid.UUID {
	ids := make([]uuid.UUID, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return ids
}
