package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern/internal/content"
)

// A Report says what each key of the key file wraps.
type Report struct {
	// Keys are the keys of the file, the oldest first.
	Keys []content.KeyID `json:"keys"`
	// Primary wraps new keys.
	Primary content.KeyID `json:"primary"`
	// Places are in the order in which they were visited.
	Places []Place `json:"places"`
}

// A Place is a table, or a folder of the content store, with wrapped keys.
type Place struct {
	Name string `json:"name"`
	// By counts what is wrapped by each key.
	By map[content.KeyID]int `json:"by"`
	// Rewrapped is how many of them were wrapped by another key before.
	Rewrapped int `json:"rewrapped"`
	// Unreadable counts what no key of the file opens: it is damaged, or its key was lost before.
	Unreadable int `json:"unreadable"`
}

// Rewrapped returns how many keys were wrapped again.
func (r Report) Rewrapped() (n int) {
	for _, p := range r.Places {
		n += p.Rewrapped
	}
	return n
}

// after returns the report of a later pass with what both have changed.
func (r Report) after(later Report) Report {
	for i := range later.Places {
		for _, before := range r.Places {
			if before.Name == later.Places[i].Name {
				later.Places[i].Rewrapped += before.Rewrapped
			}
		}
	}
	return later
}

// String lists the places, a line each.
func (r Report) String() string {
	var b strings.Builder
	for _, id := range r.Keys {
		role := "old"
		if id == r.Primary {
			role = "primary"
		}
		fmt.Fprintf(&b, "key %s (%s)\n", id, role)
	}
	for _, p := range r.Places {
		fmt.Fprintf(&b, "%s:", p.Name)
		for _, id := range slices.Sorted(maps.Keys(p.By)) {
			fmt.Fprintf(&b, " %d by %s,", p.By[id], id)
		}
		fmt.Fprintf(&b, " %d wrapped again, %d unreadable\n", p.Rewrapped, p.Unreadable)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
