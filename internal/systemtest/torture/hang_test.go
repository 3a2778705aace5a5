package torture

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process of each kind hangs in the midst of a blast, as SIGSTOP has it: it keeps its
// connections, and whatever it has open. The other of its kind takes over, and the blast
// comes to its end without it. Woken, it does nothing a second time, and stands by.
func TestAHungProcessHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s, stores, services := separate(t)
	for _, v := range append(stores, services...) {
		v.start(t)
	}
	s.verb("migrate")
	s.awaitReady()
	s.signIn()
	s.importPeople(3_000)
	for _, hang := range []struct {
		kind string
		at   moment
	}{
		{"fanout-worker", moment{frozen, 1}}, {"recorder", moment{delivered, 1}}, {"recorder", moment{alerted, 1}}, {"notify-worker", moment{alerted, 1}},
	} {
		b := s.send()
		b.await(hang.at)
		p := s.kinds[hang.kind]().(*running)
		p.tellTo(t, syscall.SIGSTOP)
		began := time.Now()
		b.settle()
		took := time.Since(began)
		before, err := s.recorded(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.tellTo(t, syscall.SIGCONT)
		if hang.kind == "recorder" {
			eventually(t, 10*time.Millisecond, p.name+" stepping down", p.said, func(context.Context) bool {
				return strings.Contains(p.said(), "recording stopped") && !p.leads()
			})
		}
		unknown := b.verdict()
		after, err := s.recorded(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s hung at %s: settled after %s, %d alerts unknown", p.name, hang.at, took.Round(time.Millisecond), unknown)
		if hang.kind == "recorder" && (after != before || unknown > 0) {
			t.Errorf("woken, the recorder published %d events; %d alerts are unknown", after-before, unknown)
		}
	}
	s.checkRecord()
}

// tellTo sends a signal that does not end the process.
func (p *running) tellTo(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}
