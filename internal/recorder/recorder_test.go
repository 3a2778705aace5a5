package recorder

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store/storetest"
)

func TestAStandbyTakesOver(t *testing.T) {
	log := eventlogtest.Start(t)
	url := storetest.New(t)
	first, second := start(t, log, url), start(t, log, url)
	m := uuid.New()
	first.Says(t, recordertest.Facts(t, recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2))...)
	first.Stop()
	began := time.Now()
	second.Says(t, recordertest.Facts(t, events.FanoutCompleted{MessageID: m, Deliveries: 2, Chunks: 1})...)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("no recorder recorded for %s", took)
	}
	first = start(t, log, url)
	second.Stop()
	first.Says(t, recordertest.Facts(t, events.DeliveryOpened{MessageID: m, PortalUserID: "pu-1", PortalUserNo: 1})...)
	if got := recordertest.StateOf(t, recordertest.Connect(t, first.Pool), m); got.Status != "sent" || got.Opened != 1 {
		t.Errorf("the message is %+v", got)
	}
}

func TestADueMessageIsReleased(t *testing.T) {
	log := eventlogtest.Start(t)
	r := start(t, log, storetest.New(t))
	due, later := uuid.New(), uuid.New()
	held := func(id uuid.UUID, at time.Time) events.Body {
		s := recordertest.SentTo(id, events.HoldScheduled)
		s.ReleaseAt = at
		return s
	}
	changed := r.Watcher.Changed()
	r.Says(t, recordertest.Facts(t, held(due, time.Now().Add(-time.Second)), held(later, time.Now().Add(time.Hour)))...)
	<-changed
	conn := recordertest.Connect(t, r.Pool)
	for recordertest.StateOf(t, conn, due).Status != "sending" {
		<-r.Watcher.Changed()
	}
	if got := recordertest.StateOf(t, conn, later).Status; got != "scheduled" {
		t.Errorf("the one that is not due is %s", got)
	}
}
