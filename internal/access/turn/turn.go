package turn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A Class says how much is known of a client before its password is checked. A lower class is
// served first.
type Class int

// The classes.
const (
	// Known is a person who is signed in, or a browser in which the typed e-mail address has
	// signed in before.
	Known Class = iota
	// Quiet is a network without recent failures.
	Quiet
	// Suspect is a network with recent failures.
	Suspect

	classes = iota
)

const (
	// mostOfClient is the most visits of one client: a clinic may have one address for all its
	// staff.
	mostOfClient = 64
	// mostOfClass is the most visits of a class. A visit is a request that waits, with its
	// connection: a few tens of kilobytes.
	mostOfClass = 1024
	// crowd is how many clients of a class may wait and be served in the order in which they came.
	crowd = 16
)

// ErrFull says that too many checks are waiting already.
var ErrFull = errors.New("too many passwords are being checked")

// Turns gives turns to checks of passwords. Make it with [New].
type Turns struct {
	mu      sync.Mutex
	slots   int
	busy    int
	clients map[clientKey]*client // each has at least one visit
	lines   [classes]line
}

// A clientKey tells clients apart: a known person is never a network.
type clientKey struct {
	known bool
	key   string
}

// A line has the clients of a class.
type line struct {
	visits  int
	waiting []*client // each has at least one visit that waits, the oldest first
}

// A client shares one place in a line: a network, or a known person.
type client struct {
	clientKey
	class   Class
	visits  int
	waiting []*Visit // the first is next
}

// A Visit is a request that needs one turn or several.
type Visit struct {
	turns   *Turns
	client  *client       // nil after Leave, and after the visit was dropped
	granted chan struct{} // closed at the visit's turn, or when it is dropped
	holds   bool          // a slot
}

// New makes Turns for a number of checks at a time. Suspects may have all but one, so there must be
// two or more.
func New(slots int) *Turns {
	return &Turns{slots: slots, clients: map[clientKey]*client{}}
}

// Enter begins a visit of a client, which is key. It fails with [ErrFull]. The caller must end
// the visit with [Visit.Leave].
func (t *Turns) Enter(class Class, key string) (*Visit, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[clientKey{class == Known, key}]
	if c == nil {
		c = &client{clientKey: clientKey{class == Known, key}, class: class}
	} else if class > c.class {
		t.demote(c)
	}
	l := &t.lines[c.class]
	if c.visits >= mostOfClient || l.visits >= mostOfClass && !t.makeRoom(l, c.visits) {
		return nil, ErrFull
	}
	t.clients[c.clientKey] = c
	c.visits++
	l.visits++
	return &Visit{turns: t, client: c}, nil
}

// makeRoom drops the newest waiting visit of the client with the most visits, if a newcomer with
// that many visits would still have fewer. The caller has locked t.
func (t *Turns) makeRoom(l *line, visits int) bool {
	if len(l.waiting) == 0 {
		return false
	}
	most := slices.MaxFunc(l.waiting, func(a, b *client) int { return a.visits - b.visits })
	if most.visits <= visits+1 {
		return false
	}
	newest := most.waiting[len(most.waiting)-1]
	t.unqueue(newest)
	t.remove(newest)
	close(newest.granted)
	return true
}

// Turn waits for the visit's turn. The caller calls done after the check, and may then call Turn
// again. It fails with [ErrFull] if the visit was dropped for another client, and with the cause
// of the end of ctx.
func (v *Visit) Turn(ctx context.Context) (done func(), err error) {
	select {
	case <-v.wait():
	case <-ctx.Done():
		v.giveUp()
		return nil, fmt.Errorf("waiting to check a password: %w", context.Cause(ctx))
	}
	if !v.hasTurn() {
		return nil, ErrFull
	}
	return v.done, nil
}

// wait lines the visit up. The channel is closed at its turn, or when it is dropped.
func (v *Visit) wait() <-chan struct{} {
	t := v.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	v.granted = make(chan struct{})
	c := v.client
	if c == nil { // dropped since its last turn
		close(v.granted)
		return v.granted
	}
	c.waiting = append(c.waiting, v)
	if len(c.waiting) == 1 {
		t.lines[c.class].waiting = append(t.lines[c.class].waiting, c)
	}
	t.grant()
	return v.granted
}

func (v *Visit) hasTurn() bool {
	v.turns.mu.Lock()
	defer v.turns.mu.Unlock()
	return v.holds
}

// giveUp ends a wait, and a turn that came at the same moment.
func (v *Visit) giveUp() {
	v.turns.mu.Lock()
	defer v.turns.mu.Unlock()
	switch {
	case v.holds:
		v.turns.release(v)
	case v.client != nil:
		v.turns.unqueue(v)
		v.turns.grant() // what is left may be no crowd
	}
}

func (v *Visit) done() {
	v.turns.mu.Lock()
	defer v.turns.mu.Unlock()
	v.turns.release(v)
}

// Leave ends the visit. It must not hold a turn or wait for one.
func (v *Visit) Leave() {
	v.turns.mu.Lock()
	defer v.turns.mu.Unlock()
	if v.client != nil {
		v.turns.remove(v)
	}
}

// Demote makes a quiet client a suspect, with all its visits.
func (t *Turns) Demote(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[clientKey{key: key}]; c != nil && c.class != Suspect {
		t.demote(c)
	}
}

// The callers of the functions below have locked t.

func (t *Turns) demote(c *client) {
	from, to := &t.lines[c.class], &t.lines[Suspect]
	c.class = Suspect
	from.visits -= c.visits
	to.visits += c.visits
	if len(c.waiting) > 0 {
		from.leave(c)
		to.waiting = append(to.waiting, c)
		t.grant() // what is left may be no crowd
	}
}

// grant gives every free slot to the visit that is next, if there is one.
func (t *Turns) grant() {
	for v := t.next(); v != nil; v = t.next() {
		t.busy++
		v.holds = true
		close(v.granted)
	}
}

// next takes the visit that is next out of its line. It returns nil if none may have a slot.
func (t *Turns) next() *Visit {
	for class := range t.lines {
		l, free := &t.lines[class], t.slots-t.busy
		if Class(class) == Suspect || Class(class) != Known && l.crowded() {
			free-- // the last slot is for those who come before them
		}
		if free <= 0 || len(l.waiting) == 0 {
			continue
		}
		return l.take()
	}
	return nil
}

// crowded reports whether more clients wait than are served in the order in which they came.
func (l *line) crowded() bool { return len(l.waiting) > crowd }

// take takes the next visit out of a line that has one. In a crowd the client that came last is next,
// so that one person need not wait for a thousand. A client with more visits is then the last.
func (l *line) take() *Visit {
	last, crowded := len(l.waiting)-1, l.crowded()
	c := l.waiting[0]
	if crowded {
		c = l.waiting[last]
	}
	v := c.waiting[0]
	c.waiting = c.waiting[1:]
	switch more := len(c.waiting) > 0; {
	case crowded && more:
		copy(l.waiting[1:], l.waiting[:last])
		l.waiting[0] = c
	case crowded:
		l.waiting = l.waiting[:last]
	case more:
		l.waiting = append(l.waiting[1:], c)
	default:
		l.waiting = l.waiting[1:]
	}
	return v
}

// release frees the slot of a visit.
func (t *Turns) release(v *Visit) {
	v.holds = false
	t.busy--
	t.grant()
}

// unqueue takes a waiting visit out of its line.
func (t *Turns) unqueue(v *Visit) {
	c := v.client
	c.waiting = slices.DeleteFunc(c.waiting, func(one *Visit) bool { return one == v })
	if len(c.waiting) == 0 {
		t.lines[c.class].leave(c)
	}
}

// remove ends a visit that does not wait.
func (t *Turns) remove(v *Visit) {
	c := v.client
	v.client = nil
	c.visits--
	t.lines[c.class].visits--
	if c.visits == 0 {
		delete(t.clients, c.clientKey)
	}
}

func (l *line) leave(c *client) {
	l.waiting = slices.DeleteFunc(l.waiting, func(one *client) bool { return one == c })
}
