// Package tally counts what may happen too often for an event each: failed sign-ins of
// strangers, and refused actions. It counts by minute and by key, in limited memory. The counts
// are in memory alone: a crash loses those of the running minute.
//
// The package does no I/O and reads no clock.
package tally

import (
	"sync"
	"time"
)

// Rules say what is counted.
type Rules struct {
	// Single is how many occurrences of a key in a minute are not counted, because each is
	// reported by itself. SingleInAll limits them for all keys together.
	Single, SingleInAll int
	// Keys is the most keys that are counted in a minute. Occurrences of further keys are counted
	// under another key.
	Keys int
}

// A Tally counts occurrences by key. Make it with [New]. It is safe for concurrent use.
type Tally[K comparable] struct {
	rules Rules

	mu     sync.Mutex
	minute time.Time
	keys   map[K]*count
	single int
	ended  []Count[K]
}

// count is that of a key in the running minute.
type count struct {
	single int
	what   map[string]int
}

// A Count has the occurrences of a key in a minute, other than those that were reported by
// themselves.
type Count[K comparable] struct {
	Key    K
	Minute time.Time // its begin
	Number int       // at least 1
	What   map[string]int
}

// New makes a Tally.
func New[K comparable](rules Rules) *Tally[K] {
	return &Tally[K]{rules: rules, keys: map[K]*count{}}
}

// Add counts an occurrence of a kind, what, or returns true: the caller reports it by itself.
// Where there are too many keys it counts it under the key other. There must be few kinds, and
// few other keys.
func (t *Tally[K]) Add(at time.Time, key, other K, what string) (single bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(at.Truncate(time.Minute))
	if t.keys[key] == nil && len(t.keys) >= t.rules.Keys {
		key = other
	}
	c := t.keys[key]
	if c == nil {
		c = &count{what: map[string]int{}}
		t.keys[key] = c
	}
	if c.single < t.rules.Single && t.single < t.rules.SingleInAll {
		c.single++
		t.single++
		return true
	}
	c.what[what]++
	return false
}

// Ended returns the counts of the minutes that have ended before a time, each once.
func (t *Tally[K]) Ended(at time.Time) []Count[K] {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(at.Truncate(time.Minute))
	return t.take()
}

// All returns the counts of all minutes, also of the running one, each once.
func (t *Tally[K]) All() []Count[K] {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	return t.take()
}

func (t *Tally[K]) take() []Count[K] {
	ended := t.ended
	t.ended = nil
	return ended
}

// begin ends the running minute if a later one has begun.
func (t *Tally[K]) begin(minute time.Time) {
	if minute.After(t.minute) {
		t.end()
		t.minute, t.single = minute, 0
	}
}

// end moves the counts of the running minute to those that have ended.
func (t *Tally[K]) end() {
	for key, c := range t.keys {
		number := 0
		for _, n := range c.what {
			number += n
		}
		if number > 0 && len(t.ended) < mostEnded*t.rules.Keys {
			t.ended = append(t.ended, Count[K]{Key: key, Minute: t.minute, Number: number, What: c.what})
		}
	}
	clear(t.keys)
}

// mostEnded is the number of full minutes that are kept until they are taken. They are taken
// every few seconds.
const mostEnded = 2
