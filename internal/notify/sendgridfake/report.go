package sendgridfake

import (
	"context"
	"strings"
	"time"
)

// Report posts the events of every new mail to the webhook until ctx ends; eventsOf gives
// them. After an error it repeats the POST, as SendGrid does for a day.
func (f *Fake) Report(ctx context.Context, w Webhook, eventsOf func(Mail) []Event) error {
	for reported := 0; ; {
		if err := f.WaitFor(ctx, reported+1); err != nil {
			return nil // ctx has ended
		}
		mails, count := f.since(reported)
		reported = count
		var events []Event
		for _, m := range mails {
			events = append(events, eventsOf(m)...)
		}
		for w.Post(ctx, events...) != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	}
}

// since gives the mails after the first n that are still stored, and the total number of
// accepted mails.
func (f *Fake) since(n int) (mails []Mail, count int) {
	f.kept.mu.Lock()
	batches, first, count := f.kept.batches, f.kept.count-f.kept.kept, f.kept.count
	f.kept.mu.Unlock()
	for _, b := range batches {
		for i := range b.ends {
			if first >= n {
				mails = append(mails, b.mail(i))
			}
			first++
		}
	}
	return mails, count
}

// ByName gives the events of a mail by the start of its address: bounce, blocked, dropped,
// deferred or spam. A mail to any other address is delivered.
func ByName(m Mail) []Event {
	at := m.At
	name := strings.ToLower(m.To)
	switch {
	case strings.HasPrefix(name, "bounce"):
		return []Event{Processed(m, at), Bounce(m, at, "5.1.1", "550 5.1.1 <"+m.To+">: no such mailbox")}
	case strings.HasPrefix(name, "blocked"):
		return []Event{Processed(m, at), Blocked(m, at, "5.7.1", "550 5.7.1 refused by our policy")}
	case strings.HasPrefix(name, "dropped"):
		return []Event{Dropped(m, at, "Bounced Address")}
	case strings.HasPrefix(name, "deferred"):
		return []Event{Processed(m, at), Deferred(m, at, 1, "450 4.7.1 try again later"), Delivered(m, at.Add(time.Second))}
	case strings.HasPrefix(name, "spam"):
		return []Event{Processed(m, at), Delivered(m, at), SpamReport(m, at.Add(time.Second))}
	}
	return []Event{Processed(m, at), Delivered(m, at)}
}
