package config

import (
	"io"
	"strings"
	"testing"
)

// A P-256 key, and one that is not ECDSA, both as base64 of DER.
const (
	ecdsaKey   = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
	ed25519Key = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
)

// A value with a wrong form is refused at the start, by its name, together with all others.
func TestAWrongFormIsRefused(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	for name, c := range map[string]struct{ right, wrong []string }{
		"DATABASE_URL":                {[]string{"postgres:///d", "postgresql://u:p@h:5432/d"}, []string{"", "mysql://h/d", "postgres://h:port/d"}},
		"NATS_URL":                    {[]string{"nats://h", "tls://u:p@h:4222,nats://[::1]:4223"}, []string{"", "nonsense", "http://h", "nats://", "nats://h:x", "nats://h,"}},
		"PUBLIC_URL":                  {[]string{"https://p.example"}, []string{"clinic", "ftp://h", "http://"}},
		"CONTENT_URL":                 {[]string{"./c", "file:///c", "s3://b?region=x"}, []string{"", "zz://y", "s3://"}},
		"ARCHIVE_URL":                 {[]string{"", "/a", "s3://b"}, []string{"zz://y"}},
		"CLAMD_ADDR":                  {[]string{"", "clamd:3310", "/run/clamd.sock"}, []string{"nohost", ":3310", "h:", "h:port", "tcp://h:1"}},
		"SENDGRID_BASE_URL":           {[]string{"", "https://h"}, []string{"::", "h", "ftp://h"}},
		"SENDGRID_WEBHOOK_PUBLIC_KEY": {[]string{"", ecdsaKey}, []string{"x!", "bm90IGEga2V5", ed25519Key}},
		"OTEL_EXPORTER_OTLP_ENDPOINT": {[]string{"", "http://c:4318"}, []string{"c:4318", "grpc://c:4317"}},
		"TRUSTED_PROXIES":             {[]string{"", "10.0.0.0/8", "10.0.0.1, 2001:db8::/32,::1"}, []string{"proxy", "10.0.0.0/33", "10.0.0.0/8;::1", "10.0.0.0/8,*"}},
		"ALERT_FROM":                  {nil, []string{"clinic"}},
	} {
		for _, value := range c.right {
			if _, err := Load(API, nil, append(append([]string{}, least...), name+"="+value), io.Discard); err != nil {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
		for _, value := range c.wrong {
			_, err := Load(API, nil, append(append([]string{}, least...), name+"="+value), io.Discard)
			if err == nil || !strings.Contains(err.Error(), "  "+name+" must be") {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	}
}
