package sendgridfake

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxLogged is the largest number of requests kept for Requests.
const maxLogged = 10_000

// Letter is the content of a mail. It is the same for all recipients of a request whose
// personalization has no subject.
type Letter struct {
	From, Subject, Text, HTML string
}

// Mail is one letter to one recipient.
type Mail struct {
	At        time.Time
	To        string
	Attempt   uuid.UUID
	Position  int
	MessageID string
	Letter    *Letter
}

// mailStore stores accepted mails. A batch has the recipients that differ only in address
// and position, so that each needs the bytes of its address and eight more.
type mailStore struct {
	mu       sync.Mutex
	changed  *sync.Cond
	keep     int
	batches  []*batch
	kept     int
	count    int
	requests []RequestInfo
	last     *Letter
}

type batch struct {
	at        time.Time
	messageID string
	attempt   uuid.UUID
	letter    *Letter
	addresses []byte
	ends      []uint32
	positions []int32
}

func (m *mailStore) init(keep int) {
	m.keep = keep
	m.changed = sync.NewCond(&m.mu)
}

// take stores a request's recipients.
func (m *mailStore) take(at time.Time, messageID string, r *request) {
	batches := r.batches(at, messageID)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range batches {
		// Nearly all requests have the same content: store one copy.
		if m.last == nil || *m.last != *b.letter {
			m.last = b.letter
		}
		b.letter = m.last
		m.batches = append(m.batches, b)
		m.kept += len(b.ends)
		m.count += len(b.ends)
	}
	for m.keep > 0 && len(m.batches) > 0 && m.kept-len(m.batches[0].ends) >= m.keep {
		m.kept -= len(m.batches[0].ends)
		m.batches[0] = nil
		m.batches = m.batches[1:]
	}
	m.changed.Broadcast()
}

// batches copies the recipients from the request into exactly the memory that they need.
func (r *request) batches(at time.Time, messageID string) []*batch {
	var all []*batch
	start := 0
	for first := 0; first < len(r.recipients); {
		args := r.recipients[first].args.mergedInto(r.args)
		subject := r.recipients[first].subject
		last := first + 1
		for last < len(r.recipients) && r.recipients[last].subject == subject && r.recipients[last].args.mergedInto(r.args).attempt == args.attempt {
			last++
		}
		letter := r.letter
		if subject != "" {
			letter.Subject = subject
		}
		end := r.recipients[last-1].end
		b := &batch{
			at: at, messageID: messageID, attempt: args.attempt, letter: &letter,
			addresses: bytes.Clone(r.addresses[start:end]),
			ends:      make([]uint32, last-first),
			positions: make([]int32, last-first),
		}
		for i, p := range r.recipients[first:last] {
			b.ends[i] = uint32(p.end - start)                          // #nosec G115 -- a body is 30 MiB at most
			b.positions[i] = int32(p.args.mergedInto(r.args).position) // #nosec G115 -- parsed as 32 bits
		}
		all = append(all, b)
		start, first = end, last
	}
	return all
}

func (b *batch) address(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.addresses[start:b.ends[i]]
}

func (b *batch) mail(i int) Mail {
	return Mail{
		At: b.at, To: string(b.address(i)), Attempt: b.attempt, Position: int(b.positions[i]),
		MessageID: b.messageID, Letter: b.letter,
	}
}

func (m *mailStore) log(info RequestInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.requests) >= maxLogged {
		m.requests = append(m.requests[:0:0], m.requests[maxLogged/2:]...)
	}
	m.requests = append(m.requests, info)
}

// snapshot gives the current batches; a batch never changes.
func (m *mailStore) snapshot() []*batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*batch(nil), m.batches...)
}

// Count is the number of accepted recipients, including deleted ones.
func (f *Fake) Count() int {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	return f.kept.count
}

// Accepted gives the mails that are stored at the time of the call, oldest first.
func (f *Fake) Accepted() iter.Seq[Mail] {
	batches := f.kept.snapshot()
	return func(yield func(Mail) bool) {
		for _, b := range batches {
			for i := range b.ends {
				if !yield(b.mail(i)) {
					return
				}
			}
		}
	}
}

// ByAddress counts the stored mails to exactly this address. It reads all mails; for many
// addresses use Counts.
func (f *Fake) ByAddress(email string) int {
	n := 0
	for _, b := range f.kept.snapshot() {
		for i := range b.ends {
			if string(b.address(i)) == email {
				n++
			}
		}
	}
	return n
}

// Counts counts the stored mails by address.
func (f *Fake) Counts() map[string]int {
	counts := make(map[string]int)
	for _, b := range f.kept.snapshot() {
		for i := range b.ends {
			counts[string(b.address(i))]++
		}
	}
	return counts
}

// PerAttempt counts the stored mails by attempt.
func (f *Fake) PerAttempt() map[uuid.UUID]int {
	counts := make(map[uuid.UUID]int)
	for _, b := range f.kept.snapshot() {
		counts[b.attempt] += len(b.ends)
	}
	return counts
}

// Requests gives the finished requests, oldest first: at least the last 5,000.
func (f *Fake) Requests() []RequestInfo {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	return append([]RequestInfo(nil), f.kept.requests...)
}

// WaitFor returns once n recipients have been accepted. If ctx ends first, the error
// wraps ctx's error and has the number accepted.
func (f *Fake) WaitFor(ctx context.Context, n int) error {
	m := &f.kept
	stop := context.AfterFunc(ctx, func() {
		// Under the lock, so that it can't happen between the check of ctx and Wait.
		m.mu.Lock()
		defer m.mu.Unlock()
		m.changed.Broadcast()
	})
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.count < n {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("waiting for %d recipients at the stand-in for SendGrid, which accepted %d: %w", n, m.count, err)
		}
		m.changed.Wait()
	}
	return nil
}
