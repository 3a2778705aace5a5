package config

import (
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	_, err := Load(Notify, nil, []string{"RECORD_REPLICAS=2", "LISTEN_ADDR=nowhere", "ALERT_FROM=clinic", "TIME_ZONE=Berlin"}, io.Discard)
	if err == nil {
		t.Fatal("wrong settings were taken")
	}
	for _, name := range []string{"DATABASE_URL", "NATS_URL", "RECORD_REPLICAS", "LISTEN_ADDR", "PUBLIC_URL", "SENDGRID_API_KEY", "ALERT_FROM", "TIME_ZONE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s:\n%v", name, err)
		}
	}
}

// A value of the wrong form is named as the environment names it, and hides no other fault.
func TestAWrongFormIsNamedWithTheRest(t *testing.T) {
	_, err := Load(Recorder, nil, []string{"RECORD_REPLICAS=three", "ALERT_UNKNOWN_WAIT=soon", "LISTEN_ADDR=nowhere"}, io.Discard)
	if err == nil {
		t.Fatal("wrong settings were taken")
	}
	for _, says := range []string{`RECORD_REPLICAS is "three"; it must be a whole number`, `ALERT_UNKNOWN_WAIT is "soon"; it must be a duration`, "LISTEN_ADDR", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error does not say %s:\n%v", says, err)
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

// The api sends e-mails if a setting for it is present. Then it needs all settings that the
// notify worker needs, and otherwise none of them.
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

// Staff need a second factor unless it is switched off by its word.
func TestASecondFactorIsRequiredUnlessSwitchedOff(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	for set, want := range map[string]string{"": "required", "STAFF_SECOND_FACTOR=optional": "optional", "STAFF_SECOND_FACTOR=required": "required"} {
		c, err := Load(API, nil, append([]string{set}, least...), io.Discard)
		if err != nil || c.StaffSecondFactor != want {
			t.Errorf("with %q: %q, %v", set, c.StaffSecondFactor, err)
		}
	}
	if _, err := Load(API, nil, append([]string{"STAFF_SECOND_FACTOR=yes"}, least...), io.Discard); err == nil || !strings.Contains(err.Error(), "STAFF_SECOND_FACTOR") {
		t.Errorf("a wrong word: %v", err)
	}
}

// How much of an address is recorded has a default, and is said by two numbers.
func TestTheSourceOfASignIn(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	c, err := Load(API, nil, least, io.Discard)
	if err != nil || c.SignInSourceBits != "24,48" {
		t.Errorf("the default is %q, %v", c.SignInSourceBits, err)
	}
	for set, fine := range map[string]bool{"0,0": true, "32,64": true, "24": false, "33,48": false, "all": false} {
		_, err := Load(API, nil, append([]string{"SIGN_IN_SOURCE_BITS=" + set}, least...), io.Discard)
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "SIGN_IN_SOURCE_BITS") {
			t.Errorf("%q: %v", set, err)
		}
	}
}

// The settings of an identity provider are all present or all absent.
func TestAnOrganisationIsSetUpWholeOrNotAtAll(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	id, secret := "OIDC_CLIENT_ID=postern", "OIDC_CLIENT_SECRET=x"
	for _, more := range [][]string{{}, {"OIDC_ISSUER=https://login.clinic.example/realm", id, secret}, {"OIDC_ISSUER=http://127.0.0.1:9000", id, secret}} {
		if _, err := Load(API, nil, append(more, least...), io.Discard); err != nil {
			t.Errorf("with %v: %v", more, err)
		}
	}
	for _, c := range []struct {
		set    []string
		faults []string
	}{
		{[]string{"OIDC_ISSUER=https://login.clinic.example"}, []string{"OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"}},
		{[]string{id}, []string{"OIDC_ISSUER", "OIDC_CLIENT_SECRET"}},
		{[]string{secret}, []string{"OIDC_ISSUER", "OIDC_CLIENT_ID"}},
		{[]string{"OIDC_ISSUER=http://login.clinic.example", id, secret}, []string{"OIDC_ISSUER"}},
		{[]string{"OIDC_ISSUER=login.clinic.example", id, secret}, []string{"OIDC_ISSUER"}},
	} {
		_, err := Load(API, nil, append(c.set, least...), io.Discard)
		for _, name := range c.faults {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("with %v: %v does not name %s", c.set, err, name)
			}
		}
	}
}

// How long reports are waited for has a default, and matters where they come.
func TestHowLongAnUnknownAlertWaits(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "PUBLIC_URL=http://h", "SENDGRID_API_KEY=SG.x", "ALERT_FROM=a@clinic.example"}
	c, err := Load(Notify, nil, least, io.Discard)
	if err != nil || c.AlertUnknownWait != UnknownWait {
		t.Errorf("it waits %s, %v", c.AlertUnknownWait, err)
	}
	for _, wrong := range []string{"0s", "-1m", "soon"} {
		if _, err := Load(Notify, nil, append([]string{"SENDGRID_WEBHOOK_PUBLIC_KEY=" + ecdsaKey, "ALERT_UNKNOWN_WAIT=" + wrong}, least...), io.Discard); err == nil {
			t.Errorf("a wait of %s is taken", wrong)
		}
	}
}

// Content is kept for six years where nothing was said, for longer or shorter where it
// was, and for a number of years in any case.
func TestTheRetention(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	for set, want := range map[string]int{"": 6, "RETENTION_YEARS=10": 10, "RETENTION_YEARS=1": 1, "RETENTION_YEARS=0": 0, "RETENTION_YEARS=-6": 0, "RETENTION_YEARS=long": 0} {
		c, err := Load(API, nil, append([]string{set}, least...), io.Discard)
		if (err == nil) != (want > 0) || err == nil && c.RetentionYears != want {
			t.Errorf("%q: %d years, %v", set, c.RetentionYears, err)
		}
	}
}

// Everything that is wrong about what the identity provider decides is named at once, in the
// words of the settings.
func TestWhatAnOrganisationDecides(t *testing.T) {
	least := []string{"DATABASE_URL=postgres://h/d", "NATS_URL=nats://h", "CONTENT_URL=/c", "CONTENT_KEY_FILE=/k"}
	whole := append([]string{"OIDC_ISSUER=https://login.clinic.example", "OIDC_CLIENT_ID=postern", "OIDC_CLIENT_SECRET=x"}, least...)
	nurses := "OIDC_PERMISSIONS=nurses=send_portal_message"
	for _, c := range []struct {
		set    []string
		faults []string
	}{
		{[]string{nurses, "OIDC_JIT=true", "OIDC_GROUPS_CLAIM=roles", "OIDC_SCOPES=profile,groups", "OIDC_REQUIRE_MFA=true"}, nil},
		{[]string{"OIDC_REQUIRE_MFA=https://refeds.org/profile/mfa, phr"}, nil},
		{[]string{"OIDC_JIT=true"}, []string{"OIDC_PERMISSIONS must be set if OIDC_JIT is true"}},
		{[]string{"OIDC_PERMISSIONS=nurses", "OIDC_REQUIRE_MFA=true,,phr", "OIDC_SCOPES=profile groups"},
			[]string{"OIDC_PERMISSIONS: \"nurses\" must be", "OIDC_REQUIRE_MFA must be", "OIDC_SCOPES must be"}},
		{[]string{"OIDC_PERMISSIONS=a=read_record,manage_staff;b=fly", "OIDC_JIT=perhaps"},
			[]string{"give read_record: give it at Staff Info", "give manage_staff: give it at Staff Info", `"fly" is not a permission`, "OIDC_JIT is \"perhaps\"; it must be true or false"}},
	} {
		_, err := Load(API, nil, append(c.set, whole...), io.Discard)
		if (err == nil) != (c.faults == nil) {
			t.Errorf("with %v: %v", c.set, err)
		}
		for _, fault := range c.faults {
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("with %v: %v does not say %s", c.set, err, fault)
			}
		}
	}
	for _, set := range []string{nurses, "OIDC_SCOPES=profile", "OIDC_REQUIRE_MFA=true"} {
		if _, err := Load(API, nil, append([]string{set}, least...), io.Discard); err == nil || !strings.Contains(err.Error(), "OIDC_ISSUER must be set") {
			t.Errorf("with %s and no issuer: %v", set, err)
		}
	}
}
