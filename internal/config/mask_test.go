package config

import (
	"bytes"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is printed of addresses, in every form that they come in.
func TestMask(t *testing.T) {
	for _, c := range []struct{ kind, text, want string }{
		// DATABASE_URL
		{"dsn", "postgres://u:s3cret@h/d", "postgres://u:***@h/d"},
		{"dsn", "postgres://u:s3cret@h1:5432,h2:5433,h3/d?target_session_attrs=read-write", "postgres://u:***@h1:5432,h2:5433,h3/d?target_session_attrs=read-write"},
		{"dsn", "postgres://u@h1,h2/d", "postgres://u@h1,h2/d"},
		{"dsn", "postgresql://u:a%40b%2Cc@[::1]:5432,h/d", "postgresql://u:***@[::1]:5432,h/d"},
		{"dsn", "postgres:///d?host=/run/a,/run/b&password=s3cret&user=a@b", "postgres:///d?host=/run/a,/run/b&password=***&user=a@b"},
		{"dsn", "postgres://h:5432/d?sslpassword=s3cret&SSLPASSWORD=s3cret&pass%77ord=s3cret&sslmode=require", "postgres://h:5432/d?sslpassword=***&SSLPASSWORD=***&pass%77ord=***&sslmode=require"},
		{"dsn", "postgres://u:p%zz@h/d", "postgres://u:***@h/d"},
		{"dsn", "postgres://u:a/b?c#d@e@h/d", "postgres://u:***@h/d"},
		{"dsn", "postgres://u:12/34@h/d", "postgres://u:***@h/d"},
		{"dsn", "postgres://u:12#34@h/d", "postgres://u:***@h/d"},
		{"dsn", "postgres://u:s3cret", "postgres://***"},
		{"dsn", "host=h1,h2 port=5432,5433 user=u password=s3cret dbname=d", "host=h1,h2 port=5432,5433 user=u password=*** dbname=d"},
		{"dsn", `password = 'it\'s a s3cret' user='a b' sslpassword=x\ y host=h`, `password = *** user='a b' sslpassword=*** host=h`},
		{"dsn", "password= host=h", "password= ***"}, // libpq passes over the blank
		{"dsn", "host=h password=a statement_timeout=b", "***"},
		{"dsn", "host=h statement_timeout=b password=a", "host=h statement_timeout=b password=***"},
		{"dsn", "password='s3cret", "***"},
		{"dsn", "s3cret", "***"},
		{"dsn", "dbname=postgres://u:s3cret@h/d user=x", "dbname=postgres://u:***@h/d user=x"},
		// NATS_URL
		{"urls", "nats://u:s3cret@h1:4222,nats://v:t3cret@h2:4222", "nats://u:***@h1:4222,nats://v:***@h2:4222"},
		{"urls", "nats://u:s3cret@h1:4222, tls://h2:4222,wss://t0ken@h3", "nats://u:***@h1:4222, tls://h2:4222,wss://***@h3"},
		{"urls", "nats://u:12,34@h:4222", "nats://u:***@h:4222"},
		{"urls", "nats://u:s3cret@h1:4222,h2:4222", "nats://u:***@h1:4222,h2:4222"},
		{"urls", "u:s3cret@h:4222", "u:***@h:4222"},
		{"urls", "h1:4222,h2:4222", "h1:4222,h2:4222"},
		{"urls", "nats://u:%zz,nats://v:t3cret@h", "nats://***,nats://v:***@h"},
		// all others
		{"url", "https://collector:s3cret@h:4318/v1", "https://collector:***@h:4318/v1"},
		{"url", "s3://bucket?region=eu-west-1&endpoint=http://h:9000", "s3://bucket?region=eu-west-1&endpoint=http://h:9000"},
		{"url", "/var/lib/postern/content", "/var/lib/postern/content"},
	} {
		if got := masks[c.kind](c.text); got != c.want {
			t.Errorf("%s\nis printed as %s\nand should be  %s", c.text, got, c.want)
		}
	}
}

// Every setting that can hold a secret is masked in the line that a process prints.
func TestNoSettingPrintsASecret(t *testing.T) {
	values := map[string]string{"SENDGRID_API_KEY": "s3cret", "OIDC_CLIENT_SECRET": "s3cret"}
	for _, name := range []string{"DATABASE_URL", "NATS_URL", "PUBLIC_URL", "SENDGRID_BASE_URL", "CONTENT_URL", "ARCHIVE_URL", "OIDC_ISSUER", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		values[name] = "scheme://user:s3cret@" + strings.ToLower(strings.ReplaceAll(name, "_", "-")) + ".example"
	}
	c, err := parse(values)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("starting", "config", c)
	if strings.Contains(out.String(), "s3cret") {
		t.Errorf("a secret is printed: %s", &out)
	}
	for name, value := range values {
		if at := strings.Index(value, "@"); at > 0 && !strings.Contains(out.String(), value[at:]) {
			t.Errorf("%s is not told by its host: %s", name, &out)
		}
	}
}

// word is in every secret, at its ends and between whatever else it holds.
const word = "s3cr3t"

// secrets draws secrets that hold every character that means something in an address.
func secrets(t *rapid.T, label string) string {
	secret := word
	for _, special := range rapid.SliceOfN(rapid.SampledFrom([]string{"@", ":", "/", "?", "#", ",", "%", "%zz", "%40", "&", "=", "'", `"`, `\`, " ", ";", "[", "]", "+", "é", "://", ",nats", "\t"}), 0, 5).Draw(t, label) {
		secret += special + word
	}
	return secret
}

// Whatever a password is, encoded or as it was typed, nothing of it is printed, and the
// user and every host are. What is encoded leaves all else as it was.
func TestPasswordsOfAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := secrets(t, "password")
		hosts := strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"h1.example:5432", "h2.example", "[::1]:5433", "10.0.0.7:5432"}), 1, 3, rapid.ID).Draw(t, "hosts"), ",")
		raw := rapid.Bool().Draw(t, "raw")
		typed := secret
		if !raw {
			typed = strings.TrimPrefix(url.UserPassword("", secret).String(), ":")
		}
		after := rapid.SampledFrom([]string{"", "/d", "/d?sslmode=require", "/d?application_name=clinic"}).Draw(t, "after")
		for kind, scheme := range map[string]string{"dsn": "postgres", "urls": "nats", "url": "https"} {
			text := scheme + "://user:" + typed + "@" + hosts + after
			got := masks[kind](text)
			if strings.Contains(got, word) {
				t.Errorf("%s is printed as %s", text, got)
			}
			if want := scheme + "://user:" + masked + "@" + hosts + after; !raw && got != want {
				t.Errorf("%s is printed as %s, want %s", text, got, want)
			}
		}
	})
}

// The same holds for secrets in a query, and among key=value pairs.
func TestSecretParameters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret, key := secrets(t, "secret"), rapid.SampledFrom([]string{"password", "sslpassword"}).Draw(t, "key")
		text := "postgres://user@h1,h2/d?sslmode=require&" + key + "=" + url.QueryEscape(secret) + "&application_name=a@b"
		if got, want := maskDSN(text), "postgres://user@h1,h2/d?sslmode=require&"+key+"=***&application_name=a@b"; got != want {
			t.Errorf("%s is printed as %s", text, got)
		}
		quoted := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret) + "'"
		text = "host=h1,h2 user='a b' " + key + "=" + quoted + " dbname=d"
		if got, want := maskDSN(text), "host=h1,h2 user='a b' "+key+"=*** dbname=d"; got != want {
			t.Errorf("%s is printed as %s", text, got)
		}
		for _, wrong := range []string{"host=h user=u " + key + "=" + secret, "host=h " + key + "='" + secret, key + " " + secret} {
			if got := maskDSN(wrong); strings.Contains(got, word) {
				t.Errorf("%s is printed as %s", wrong, got)
			}
		}
	})
}

// No text at all gets more out of it than it has, and a list stays one.
func FuzzMask(f *testing.F) {
	f.Add("nats://u:p@h1,nats://h2", "postgres://u:p@h/d?password=x")
	f.Fuzz(func(t *testing.T, before, after string) {
		for kind, mask := range masks {
			if kind == "" {
				continue
			}
			_ = mask(before)
			if got := mask("postgres://u:" + word + "@h"); strings.Contains(got, word) {
				t.Errorf("%s: %s", kind, got)
			}
			if strings.Contains(mask("postgres://u:"+word+"@"+after), word+"@") {
				t.Errorf("%s: %q gets the secret printed", kind, after)
			}
		}
	})
}
