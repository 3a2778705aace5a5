package torture

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process of each kind hangs in the middle of a blast, stopped with SIGSTOP: it keeps
// its connections and open transactions. The other process of its kind takes over and
// finishes the blast. When the first continues, it does nothing a second time.
func TestAnotherProcessReplacesAHungOne(t *testing.T) {
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
		p := s.kinds[hang.kind]().(*childProcess)
		p.sendSignal(t, syscall.SIGSTOP)
		began := time.Now()
		b.settle()
		took := time.Since(began)
		if hang.kind == "recorder" { // the blast may have been recorded before the signal
			eventually(t, 10*time.Millisecond, "another recorder leading", p.logged, func(context.Context) bool { return s.anotherLeads(p) })
		}
		before, err := s.recorded(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.sendSignal(t, syscall.SIGCONT)
		if hang.kind == "recorder" {
			eventually(t, 10*time.Millisecond, p.name+" stepping down", p.logged, func(context.Context) bool {
				return strings.Contains(p.logged(), "recording stopped") && !p.leads()
			})
		}
		unknown := b.verdict()
		after, err := s.recorded(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s hung at %s: settled after %s, %d alerts unknown", p.name, hang.at, took.Round(time.Millisecond), unknown)
		if hang.kind == "recorder" && (after != before || unknown > 0) {
			t.Errorf("after SIGCONT the recorder published %d events; %d alerts are unknown", after-before, unknown)
		}
	}
	s.checkRecord()
}

// sendSignal sends a signal that does not end the process.
func (p *childProcess) sendSignal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}
