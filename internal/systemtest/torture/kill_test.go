package torture

import (
	"testing"
	"time"
)

// A process of each kind is killed in the middle of a blast and not started again: the
// other process of its kind finishes its work, with the default timeouts.
func TestAnotherProcessReplacesAKilledOne(t *testing.T) {
	t.Parallel()
	s, stores, services := separate(t)
	for _, v := range append(stores, services...) {
		v.start(t)
	}
	s.verb("migrate")
	s.awaitReady()
	s.signIn()
	s.importPeople(3_000)
	for _, kill := range []struct {
		kind    string
		at      moment
		harmful bool // whether an answer of SendGrid may be lost
	}{
		{"fanout-worker", moment{frozen, 1}, false}, {"fanout-worker", moment{delivered, 1}, false},
		{"recorder", moment{delivered, 1}, false}, {"recorder", moment{alerted, 1}, false},
		{"notify-worker", moment{delivered, 1}, true}, {"notify-worker", moment{alerted, 1}, true},
	} {
		b := s.send()
		b.await(kill.at)
		v := s.kinds[kill.kind]()
		v.kill(t)
		killed := time.Now()
		b.settle()
		took := time.Since(killed)
		v.start(t)
		unknown := b.verdict()
		t.Logf("%s was killed at %s: settled after %s, %d alerts unknown", kill.kind, kill.at, took.Round(time.Millisecond), unknown)
		if unknown > 0 && !kill.harmful {
			t.Errorf("%d alerts are unknown, although no notify worker was killed", unknown)
		}
	}
	s.checkRecord()
}

// `postern up` is killed in the middle of a blast and started again.
func TestAKilledUpContinues(t *testing.T) {
	t.Parallel()
	s := allInOne(t)
	s.signIn()
	s.importPeople(3_000)
	for _, at := range []moment{{onRecord, 2}, {frozen, 1}, {delivered, 1}, {alerted, 1}} {
		b := s.send()
		b.await(at)
		v := s.kinds["up"]()
		v.kill(t)
		v.start(t)
		began := time.Now()
		s.awaitReady()
		ready := time.Since(began)
		b.settle()
		settled := time.Since(began)
		unknown := b.verdict()
		t.Logf("`postern up` was killed at %s: ready after %s, settled after %s, %d alerts unknown",
			at, ready.Round(time.Millisecond), settled.Round(time.Millisecond), unknown)
	}
	s.checkRecord()
}
