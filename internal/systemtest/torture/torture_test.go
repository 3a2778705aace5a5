package torture

import (
	"cmp"
	"math/rand/v2"
	"testing"
	"time"
)

// TestTorture kills every kind of process in the middle of blasts: once or twice in
// the short form, 20 times in the long form.
func TestTorture(t *testing.T) {
	t.Parallel()
	t.Run("processes", func(t *testing.T) {
		if !*long {
			t.Parallel()
			torture(t, "api", "fanout-worker", "recorder", "notify-worker", "nats", "postgres")
			return
		}
		for kind := range gaugesOf {
			if kind == "up" {
				continue
			}
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				torture(t, kind)
			})
		}
	})
	t.Run("up", func(t *testing.T) {
		t.Parallel()
		s := allInOne(t)
		s.torture("up")
	})
}

// torture runs separate processes and kills processes of the given kinds.
func torture(t *testing.T, kinds ...string) {
	s, stores, services := separate(t)
	for _, v := range append(stores, services...) {
		v.start(t)
	}
	s.verb("migrate")
	s.awaitReady()
	s.torture(kinds...)
}

// torture sends one blast after another and kills a process of each kind in each.
func (s *system) torture(kinds ...string) {
	kills, people := 1, 3_000
	if *long {
		kills, people = 20, 20_000
	}
	kills, people = cmp.Or(*killsFlag, kills), cmp.Or(*peopleFlag, people)
	seed := cmp.Or(*seedFlag, uint64(time.Now().UnixNano())) // #nosec G115 -- any number is a seed
	s.Logf("drawn from -torture.seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- not a secret
	s.signIn()
	s.importPeople(people)
	for n := 1; n <= kills && !s.Failed(); n++ {
		s.round(n, kinds, random)
	}
	s.checkRecord()
}

// round sends one blast and kills a process of each kind, at moments in the order in
// which a blast reaches them.
func (s *system) round(n int, kinds []string, random *rand.Rand) {
	s.Helper()
	b := s.send()
	began := time.Now()
	var kills []string
	var stopped []killable
	for _, kind := range kinds {
		m := s.people.drawMoment(kind, random)
		b.await(m)
		v := s.kinds[kind]()
		v.kill(s)
		kills = append(kills, kind+" at "+m.String())
		// If another process of the kind runs, it must finish the work alone in half the
		// rounds.
		if spare := kind == "fanout-worker" || kind == "notify-worker" || kind == "recorder"; spare && random.IntN(2) == 0 {
			stopped = append(stopped, v)
			continue
		}
		v.start(s)
	}
	b.settle()
	for _, v := range stopped {
		v.start(s)
	}
	s.awaitReady()
	unknown := b.verdict()
	s.Logf("round %d, %v: settled after %s, %d of %d alerts unknown", n, kills, time.Since(began).Round(time.Millisecond), unknown, len(s.people.audience))
	harmless := true // whether no answer of SendGrid can be lost
	for _, kind := range kinds {
		harmless = harmless && (kind == "api" || kind == "fanout-worker" || kind == "recorder")
	}
	if harmless && unknown > 0 {
		s.Errorf("%d alerts are unknown, although no sending process was killed", unknown)
	}
}
