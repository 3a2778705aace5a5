package config

import (
	"io"
	"strings"
	"testing"
)

// Plain HTTP is for this machine alone. Every other way says what encrypts it.
func TestTransport(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k", "SENDGRID_API_KEY=SG.x", "ALERT_FROM=a@clinic.example"}
	const public, pair, acme = "LISTEN_ADDR=0.0.0.0:443", "TLS_CERT_FILE=/c.pem,TLS_KEY_FILE=/k.pem", "ACME_DOMAINS=portal.clinic.example,ACME_FOLDER=/acme"
	for _, c := range []struct {
		process Process
		set     string // settings, separated by commas
		wrong   string // "" where they are right; else the settings that a fault names
	}{
		{API, "", ""},
		{API, "LISTEN_ADDR=localhost:80", ""},
		{API, public, "LISTEN_ADDR TLS_CERT_FILE ACME_DOMAINS BEHIND_PROXY=true"},
		{API, "LISTEN_ADDR=:80", "LISTEN_ADDR"},
		{API, public + ",BEHIND_PROXY=true", ""},
		{API, public + ",BEHIND_PROXY=false", "LISTEN_ADDR"},
		{API, public + ",BEHIND_PROXY=maybe", "BEHIND_PROXY"},
		{API, public + "," + pair, ""},
		{API, public + ",TLS_CERT_FILE=/c.pem", "TLS_CERT_FILE TLS_KEY_FILE"},
		{API, public + ",TLS_KEY_FILE=/k.pem", "TLS_CERT_FILE TLS_KEY_FILE"},
		{API, public + "," + pair + ",PUBLIC_URL=http://portal.clinic.example", "PUBLIC_URL"},
		{API, public + "," + pair + ",PUBLIC_URL=https://portal.clinic.example", ""},
		{API, public + "," + acme, ""},
		{API, public + "," + acme + "," + pair, "ACME_DOMAINS TLS_CERT_FILE"},
		{API, public + ",ACME_DOMAINS=portal.clinic.example", "ACME_FOLDER"},
		{API, public + "," + acme + ",ACME_DIRECTORY=http://acme.clinic.example", "ACME_DIRECTORY"},
		{API, public + ",ACME_FOLDER=/acme,ACME_DOMAINS=192.0.2.1", "ACME_DOMAINS"},
		{API, public + ",ACME_FOLDER=/acme,ACME_DOMAINS=*.clinic.example", "ACME_DOMAINS"},
		{API, public + ",ACME_FOLDER=/acme,ACME_DOMAINS=portal", "ACME_DOMAINS"},
		{API, "METRICS_ADDR=127.0.0.1:9090", ""},
		{API, "METRICS_ADDR=9090", "METRICS_ADDR"},
		{API, "METRICS_ADDR=0.0.0.0:9090", "METRICS_ADDR METRICS_EXPOSED"},
		{API, "METRICS_ADDR=0.0.0.0:9090,METRICS_EXPOSED=true", ""},
		{API, "NATS_CERT_FILE=/c.pem", "NATS_CERT_FILE NATS_KEY_FILE"},
		// A worker serves its health in the same way, and gets no certificate by ACME.
		{Recorder, "", ""},
		{Recorder, "LISTEN_ADDR=127.0.0.1:8083", ""},
		{Recorder, public, "LISTEN_ADDR"},
		{Recorder, public + "," + acme, "LISTEN_ADDR"},
		{Notify, public + ",PUBLIC_URL=https://p.example," + pair, ""},
	} {
		_, err := Load(c.process, nil, append(append([]string{}, least...), strings.Split(c.set, ",")...), io.Discard)
		if (err == nil) != (c.wrong == "") {
			t.Errorf("%s with %s: %v", c.process, c.set, err)
		}
		for name := range strings.FieldsSeq(c.wrong) {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s with %s: the fault does not name %s: %v", c.process, c.set, name, err)
			}
		}
	}
}

// Without PUBLIC_URL, people reach the portal where it listens.
func TestThePublicURL(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	for set, want := range map[string]string{
		"":                           "http://127.0.0.1:8080",
		"LISTEN_ADDR=127.0.0.1:9000": "http://127.0.0.1:9000",
		"LISTEN_ADDR=127.0.0.1:9000 TLS_CERT_FILE=/c TLS_KEY_FILE=/k":                             "https://127.0.0.1:9000",
		"LISTEN_ADDR=:443 ACME_DOMAINS=Portal.Clinic.Example,other.clinic.example ACME_FOLDER=/a": "https://portal.clinic.example",
	} {
		c, err := Load(API, nil, append(append([]string{}, least...), strings.Fields(set)...), io.Discard)
		if err != nil || c.PublicURL != want {
			t.Errorf("with %s: %s, %v", set, c.PublicURL, err)
		}
	}
}

// A setting that is true or false is a flag that can stand alone.
func TestASwitchIsAFlagWithoutAValue(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	for _, flag := range []string{"--behind-proxy", "--behind-proxy=true"} {
		c, err := Load(API, []string{flag, "--listen-addr", "0.0.0.0:80"}, least, io.Discard)
		if err != nil || !c.BehindProxy || c.ListenAddr != "0.0.0.0:80" {
			t.Errorf("%s: %v, %v", flag, c, err)
		}
	}
}
