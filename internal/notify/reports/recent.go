package reports

import (
	"crypto/sha256"
	"sync"
)

// recent remembers the latest reports that this process has recorded: SendGrid was
// observed to post one report 46 times, each time together with other reports. A report
// that recent has forgotten is recorded again, which changes nothing.
type recent struct {
	mu       sync.Mutex
	now, old map[[16]byte]bool
}

// generationSize is the size of one of the two generations: about 10 MB for both.
const generationSize = 1 << 17

func keyOf(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// unseen gives the reports that recent does not remember, each once.
func (m *recent) unseen(reports []*Report) (fresh []*Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	here := make(map[string]bool, len(reports))
	for _, r := range reports {
		if key := keyOf(r.ID); here[r.ID] || m.now[key] || m.old[key] {
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
	if m.now == nil || len(m.now) >= generationSize {
		m.now, m.old = make(map[[16]byte]bool), m.now
	}
	for _, r := range reports {
		m.now[keyOf(r.ID)] = true
	}
}
