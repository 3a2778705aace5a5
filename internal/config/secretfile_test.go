package config

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each secret can be in a file, which one newline may end. Neither is printed.
func TestSecretsInFiles(t *testing.T) {
	values := map[string]string{"DATABASE_URL": "postgres://u:hunter2@h/d", "NATS_URL": "nats://u:hunter2@h", "SENDGRID_API_KEY": "SG.hunter2\n", "OIDC_CLIENT_SECRET": "hunter2 "}
	environ := []string{"CONTENT_URL=/c", "CONTENT_KEY_FILE=/k", "ALERT_FROM=a@clinic.example", "OIDC_ISSUER=https://i.example", "OIDC_CLIENT_ID=x"}
	for name, value := range values {
		environ = append(environ, InFile(name)+"="+file(t, value+"\n"))
	}
	c, err := Load(API, nil, environ, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"DATABASE_URL": c.DatabaseURL, "NATS_URL": c.NATSURL, "SENDGRID_API_KEY": c.SendGridAPIKey, "OIDC_CLIENT_SECRET": c.OIDCClientSecret}
	for name, value := range values {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if text := c.LogValue().String(); strings.Contains(text, "hunter2") {
		t.Errorf("a secret is printed: %s", text)
	}
	stores, err := Stores(environ)
	if err != nil || stores.DatabaseURL != c.DatabaseURL || stores.NATSURL != c.NATSURL || stores.SendGridAPIKey != "" {
		t.Errorf("of the stores it reads %v, %v", stores, err)
	}
}

// A secret that is given twice, or whose file can't be read, is refused by name, with the rest.
func TestWrongSecretFiles(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	_, err := Load(API, []string{"--nats-url-file", file(t, "nats://hunter2@h")},
		append(least, "DATABASE_URL_FILE="+file(t, "postgres://u:hunter2@h/d"), "SENDGRID_API_KEY_FILE=/nowhere", "ALERT_FROM=a@clinic.example", "RECORD_REPLICAS=three"), io.Discard)
	for _, says := range []string{"DATABASE_URL and DATABASE_URL_FILE are both set", "NATS_URL and NATS_URL_FILE are both set", "SENDGRID_API_KEY_FILE must name a file that this process can read", "RECORD_REPLICAS"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("it does not say %s: %v", says, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is printed: %v", err)
	}
}

// Only secrets have a file.
func TestWhichSettingsHaveAFile(t *testing.T) {
	var got []string
	for _, name := range Names() {
		if value, isFile := strings.CutSuffix(name, "_FILE"); isFile && slices.Contains(Names(), value) {
			got = append(got, value)
		}
	}
	if want := []string{"DATABASE_URL", "NATS_URL", "SENDGRID_API_KEY", "OIDC_CLIENT_SECRET"}; !slices.Equal(got, want) {
		t.Errorf("these have one: %v", got)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
