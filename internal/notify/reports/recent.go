package reports

import (
	"crypto/sha256"
	"sync"
)

// recent remembers the reports that this process has on the record, the latest of
// them: SendGrid was seen to post one report 46 times, in other company each time.
// What it forgets is recorded again, and changes nothing.
type recent struct {
	mu       sync.Mutex
	now, old map[[16]byte]bool
}

// half of what is remembered: some 10 MB in all.
const half = 1 << 17

func mark(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// without gives the reports that are not remembered, each once.
func (m *recent) without(reports []*Report) (fresh []*Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	here := make(map[string]bool, len(reports))
	for _, r := range reports {
		if key := mark(r.ID); here[r.ID] || m.now[key] || m.old[key] {
			continue
		}
		here[r.ID] = true
		fresh = append(fresh, r)
	}
	return fresh
}

func (m *recent) add(reports []*Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil || len(m.now) >= half {
		m.now, m.old = make(map[[16]byte]bool), m.now
	}
	for _, r := range reports {
		m.now[mark(r.ID)] = true
	}
}
