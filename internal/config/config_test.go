package config

import (
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	_, err := Load(Notify, nil, []string{"RECORD_REPLICAS=2", "LISTEN_ADDR=nowhere", "ALERT_FROM=nobody"}, io.Discard)
	if err == nil {
		t.Fatal("wrong settings were taken")
	}
	for _, name := range []string{"DATABASE_URL", "NATS_URL", "RECORD_REPLICAS", "LISTEN_ADDR", "PUBLIC_URL", "SENDGRID_API_KEY", "ALERT_FROM"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s:\n%v", name, err)
		}
	}
}

func TestAFlagOverridesTheEnvironment(t *testing.T) {
	c, err := Load(Recorder, []string{"--nats-url", "nats://flag"}, []string{"NATS_URL=nats://env", "DATABASE_URL=postgres://h/d"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.NATSURL != "nats://flag" {
		t.Errorf("NATS_URL is %q, want the flag's", c.NATSURL)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	c := Config{
		DatabaseURL: "postgres://u:hunter2@h/d?password=hunter2", NATSURL: "nats://a:hunter2@x,nats://b:hunter2@y",
		SendGridAPIKey: "SG.hunter2", OIDCClientSecret: "hunter2",
	}
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("starting", "config", c)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret is printed: %s", out.String())
	}
	if !strings.Contains(out.String(), "@y") {
		t.Errorf("the second server's address is not printed: %s", out.String())
	}
}

// The api sends letters where it is told how: then it needs all that the notify worker
// needs, and nothing of it otherwise.
func TestTheAPISendsLettersOrNot(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	for _, more := range [][]string{{}, {"SENDGRID_API_KEY=SG.x", "ALERT_FROM=Clinic <a@clinic.example>"}} {
		if _, err := Load(API, nil, append(more, least...), io.Discard); err != nil {
			t.Errorf("with %v: %v", more, err)
		}
	}
	for wrong, missing := range map[string]string{"SENDGRID_API_KEY=SG.x": "ALERT_FROM", "ALERT_FROM=a@clinic.example": "SENDGRID_API_KEY"} {
		if _, err := Load(API, nil, append([]string{wrong}, least...), io.Discard); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("with %s alone: %v", wrong, err)
		}
	}
}
