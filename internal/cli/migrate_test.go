package cli

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/store/storetest"
)

// `migrate` uses RECORD_REPLICAS, from the environment or a flag. A stream with more replicas
// keeps them without --lower-replicas, and `migrate` says what to do.
func TestMigrateAndReplicas(t *testing.T) {
	p := newPostern(t)
	servers := natstest.Cluster(t, 3)
	t.Setenv("DATABASE_URL", storetest.Empty(t))
	t.Setenv("NATS_URL", servers[0].ClientURL(""))
	js, err := jetstream.New(natstest.Connect(t, servers[0], "test"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, setting string
		args          []string
		status        int
		says          string
		want          int
	}{
		{"nothing is set", "", nil, exitDone, "", 1},
		{"by the environment", "3", nil, exitDone, "", 3},
		{"nothing is set any more", "", nil, exitDone, "", 3},
		{"fewer", "1", nil, exitFailed, "--lower-replicas", 3},
		{"fewer, by a flag", "", []string{"--record-replicas", "1"}, exitFailed, "RECORD_REPLICAS=3", 3},
		{"no number that there is", "2", nil, exitUsage, "1, 3 or 5", 3},
		{"no number", "three", nil, exitUsage, "RECORD_REPLICAS", 3},
		{"lowered to nothing that is said", "", []string{"--lower-replicas"}, exitUsage, "to how many", 3},
		{"lowered to what it has", "3", []string{"--lower-replicas"}, exitDone, "", 3},
		{"lowered", "1", []string{"--lower-replicas"}, exitDone, "", 1},
		{"raised, by a flag", "", []string{"--record-replicas", "3"}, exitDone, "", 3},
		{"lowered, by a flag", "3", []string{"--record-replicas", "1", "--lower-replicas"}, exitDone, "", 1},
	} {
		t.Setenv("RECORD_REPLICAS", step.setting)
		status, _, errs := p.run("", append([]string{"migrate"}, step.args...)...)
		if status != step.status || !strings.Contains(errs, step.says) {
			t.Errorf("%s: status %d, want %d, and says %s", step.name, status, step.status, errs)
		}
		stream, err := js.Stream(t.Context(), eventlog.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().Config.Replicas; got != step.want {
			t.Errorf("%s: %d replicas, want %d", step.name, got, step.want)
		}
	}
}
