package turn

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// recently is the least time for which failures of a network count. They count for twice as
	// long at most.
	recently = 15 * time.Minute
	// suspectFrom is the number of failures that make a network a suspect: two may be typing
	// errors.
	suspectFrom = 3
	// neighboursFrom is the number of failures of its /24 (IPv4) or /48 (IPv6) that make a network
	// a suspect: a guesser with many addresses has them side by side.
	neighboursFrom = 20
	// mostNetworks limits the memory: some megabytes. Where more fail, the oldest are forgotten
	// early.
	mostNetworks = 1 << 16
)

// Failures counts the recent failures of networks. The zero value has counted none. A restart
// forgets them.
type Failures struct {
	mu          sync.Mutex
	began       time.Time
	now, before map[netip.Prefix]int
}

// Note counts a failure of a network, and reports whether the network is a suspect.
func (f *Failures) Note(network netip.Prefix, at time.Time) (suspect bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.age(at)
	if len(f.now) >= mostNetworks {
		f.turnOver(at, f.now)
	}
	f.now[network]++
	f.now[neighbours(network)]++
	return f.suspect(network)
}

// Suspect reports whether a network, or others beside it, have failed so often recently that it
// is a suspect.
func (f *Failures) Suspect(network netip.Prefix, at time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.age(at)
	return f.suspect(network)
}

func (f *Failures) suspect(network netip.Prefix) bool {
	count := func(p netip.Prefix) int { return f.now[p] + f.before[p] }
	return count(network) >= suspectFrom || count(neighbours(network)) >= neighboursFrom
}

// neighbours is the wider network of a network.
func neighbours(network netip.Prefix) netip.Prefix {
	bits := 24
	if network.Addr().Is6() {
		bits = 48
	}
	return netip.PrefixFrom(network.Addr(), bits).Masked()
}

// age forgets failures that are too old. The caller has locked f.
func (f *Failures) age(at time.Time) {
	switch passed := at.Sub(f.began); {
	case f.now == nil || passed >= 2*recently:
		f.turnOver(at, nil)
	case passed >= recently:
		f.turnOver(at, f.now)
	}
}

func (f *Failures) turnOver(at time.Time, before map[netip.Prefix]int) {
	f.began, f.before, f.now = at, before, map[netip.Prefix]int{}
}
