package eventlogtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded/natstest"
	"postern/internal/events"
)

// errorRecorder is a testing.TB that records errors instead of failing.
type errorRecorder struct {
	testing.TB
	all []string
}

func (r *errorRecorder) Helper()                      {}
func (r *errorRecorder) Errorf(f string, args ...any) { r.all = append(r.all, fmt.Sprintf(f, args...)) }

func TestCheckFindsInvalidEvents(t *testing.T) {
	for want, spoil := range map[string]func(*nats.Msg){
		"":                                func(*nats.Msg) {},
		"header ce-id":                    func(m *nats.Msg) { m.Header.Del("ce-id") },
		"the body of message.released":    func(m *nats.Msg) { m.Data = []byte(`{"message_id":"x"}`) },
		"has the subject":                 func(m *nats.Msg) { m.Subject = "record.message.sent.0" },
		"surplus":                         func(m *nats.Msg) { m.Header.Set("surplus", "1") },
		"no schema of that type and vers": func(m *nats.Msg) { m.Header.Set("ce-dataschema", "urn:postern:schema:message.released:2") },
	} {
		log := Unchecked(t, natstest.Start(t))
		e, err := events.New("/test", "process:test", time.Now(), events.MessageReleased{MessageID: uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: e.Subject(), Header: e.Header(), Data: e.Data}
		spoil(m)
		if _, err := log.JetStream().PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		recorded := &errorRecorder{TB: t}
		Check(recorded, log)
		if got := strings.Join(recorded.all, "\n"); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("want %q in the errors:\n%s", want, got)
		}
	}
}
