package process_test

import (
	"net/http"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/embedded/porttest"
)

// A process that others reach answers operators at METRICS_ADDR: metrics, every reason and warning.
// At its own address it tells others one word.
func TestOperatorsHaveAnAddressOfTheirOwn(t *testing.T) {
	t.Parallel()
	operators := map[config.Process]string{}
	for _, p := range []config.Process{config.API, config.Fanout, config.Notify, config.Recorder} {
		operators[p] = porttest.Address(t)
	}
	c := open(t, func(p config.Process, settings *config.Config) {
		settings.MetricsAddr = operators[p]
		_, port, _ := strings.Cut(settings.ListenAddr, ":")
		settings.ListenAddr, settings.BehindProxy = "0.0.0.0:"+port, true
	})
	public := c.address
	for p := range public {
		if status, _ := c.ask(p, "/metrics"); status != http.StatusNotFound {
			t.Errorf("%s answers /metrics at its own address with %d", p, status)
		}
		c.address = operators
		if status, text := c.ask(p, "/metrics"); status != http.StatusOK || !strings.Contains(text, "postern_") {
			t.Errorf("%s answers /metrics with %d %s", p, status, text)
		}
		if status, text := c.ask(p, "/readyz"); status != http.StatusOK || strings.Contains(text, "scanner") != (p == config.API) {
			t.Errorf("%s is ready: %d %s", p, status, text)
		}
		if status, _ := c.ask(p, "/debug/pprof/"); status != http.StatusOK {
			t.Errorf("%s answers with profiles: %d", p, status)
		}
		c.address = public
		if status, _ := c.ask(p, "/debug/pprof/"); status != http.StatusNotFound {
			t.Errorf("%s has profiles at its own address: %d", p, status)
		}
	}
	if err := c.server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for p := range public {
		c.eventually(string(p)+" saying that NATS is away", func() bool {
			status, text := c.ask(p, "/readyz") // from this machine
			return status == http.StatusServiceUnavailable && strings.Contains(text, "nats: NATS can't be reached")
		})
		status, text := c.ask(p, "/readyz", "X-Forwarded-For", "203.0.113.7")
		if status != http.StatusServiceUnavailable || strings.Contains(text, "NATS") {
			t.Errorf("%s tells a stranger %d %s", p, status, text)
		}
	}
}
