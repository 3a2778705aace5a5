package torture

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The processes of docker-compose.yml, without containers: they start before NATS and
// Postgres, get SIGTERM while they work, and lose the leading recorder.
func TestTheTopology(t *testing.T) {
	t.Parallel()
	s, stores, services := separate(t)
	for _, v := range services {
		v.start(t)
	}
	for _, p := range s.processes[1:] { // the first is NATS
		eventually(t, 10*time.Millisecond, p.name+" waiting", p.logged, func(context.Context) bool {
			return strings.Contains(p.logged(), "waiting for the database")
		})
	}
	for _, v := range stores {
		v.start(t)
	}
	s.verb("migrate")
	s.awaitReady()
	s.signIn()
	s.importPeople(3_000)

	b := s.send()
	for _, end := range []struct {
		kind string
		at   moment
	}{{"fanout-worker", moment{frozen, 1}}, {"recorder", moment{delivered, 1}}, {"notify-worker", moment{alerted, 1}}} {
		b.await(end.at)
		p := s.kinds[end.kind]().(*childProcess)
		if status := p.signal(t, syscall.SIGTERM); status != 0 {
			t.Errorf("after SIGTERM, %s exited with status %d:\n%s", p.name, status, p.tail())
		}
		p.start(t)
	}
	b.settle()
	if unknown := b.verdict(); unknown > 0 {
		t.Errorf("%d alerts are unknown, although every process finished its work before it exited", unknown)
	}

	s.leader().kill(t)
	began := time.Now()
	b = s.send()
	b.await(moment{delivered, 1})
	took := time.Since(began)
	t.Logf("no recorder recorded for %s", took.Round(time.Millisecond))
	if *long && took > 10*time.Second {
		t.Error("that is too long")
	}
	b.settle()
	b.verdict()
	s.checkRecord()
}
