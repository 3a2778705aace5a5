package sendgrid_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"

	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
)

func signer(t *testing.T, at time.Time) sendgridfake.Webhook {
	t.Helper()
	key, err := sendgridfake.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return sendgridfake.Webhook{PrivateKey: key, Now: func() time.Time { return at }}
}

func TestVerifyWebhook(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	hook := signer(t, now)
	key, err := sendgrid.ParseWebhookKey(hook.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("[{\"event\":\"delivered\"}]\r\n")
	header, err := hook.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	// SendGrid's own library accepts the signature, too.
	if ok, err := eventwebhook.VerifySignature(key, body, header.Get(eventwebhook.VerificationHTTPHeader), header.Get(eventwebhook.TimestampHTTPHeader)); !ok || err != nil {
		t.Fatalf("sendgrid-go does not accept it: %v, %v", ok, err)
	}
	other, err := signer(t, now).Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name, value string) http.Header {
		h := header.Clone()
		h.Set(name, value)
		return h
	}
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		now    time.Time
		ok     bool
	}{
		{"as signed", header, string(body), now, true},
		{"an hour old", header, string(body), now.Add(time.Hour), true},
		{"too old", header, string(body), now.Add(time.Hour + time.Second), false},
		{"a little ahead", header, string(body), now.Add(-5 * time.Minute), true},
		{"from the future", header, string(body), now.Add(-6 * time.Minute), false},
		{"another body", header, "[]", now, false},
		{"line end lost", header, strings.TrimSpace(string(body)), now, false},
		{"another time", change(sendgrid.TimestampHeader, "1700000001"), string(body), now, false},
		{"no time", change(sendgrid.TimestampHeader, ""), string(body), now, false},
		{"no signature", change(sendgrid.SignatureHeader, ""), string(body), now, false},
		{"no base64", change(sendgrid.SignatureHeader, "?"), string(body), now, false},
		{"no ASN.1", change(sendgrid.SignatureHeader, "AAAA"), string(body), now, false},
		{"another key", other, string(body), now, false},
		{"nothing", http.Header{}, string(body), now, false},
	} {
		err := sendgrid.VerifyWebhook(key, tt.header, []byte(tt.body), tt.now, time.Hour)
		if (err == nil) != tt.ok || (err != nil && !errors.Is(err, sendgrid.ErrWebhook)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParseWebhookKeyAcceptsOnlyECDSAKeys(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "words": "no key", "base64 of nothing": "AAAA", "ed25519": base64.StdEncoding.EncodeToString(der),
		"PEM of ed25519": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	} {
		if _, err := sendgrid.ParseWebhookKey(text); err == nil || !strings.Contains(err.Error(), "SENDGRID_WEBHOOK_PUBLIC_KEY") {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := signer(t, time.Now()).PublicKey()
	der, err = base64.StdEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"with a line end": good + "\n", "PEM": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	} {
		if _, err := sendgrid.ParseWebhookKey(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReportsHaveTheAttemptAndPosition tests the whole path: alerts are sent, accepted,
// reported twice and out of order, verified and parsed.
func TestReportsHaveTheAttemptAndPosition(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{})
	sent := c.Send(t.Context(), attempt, people(3))
	mails := slices.Collect(f.Accepted())
	now := time.Now()
	hook := signer(t, now)
	key, err := sendgrid.ParseWebhookKey(hook.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]sendgrid.Event)
	posts := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts++
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = sendgrid.VerifyWebhook(key, r.Header, body, now, sendgrid.WebhookTolerance)
		}
		events, _, parseErr := sendgrid.ParseEvents(body)
		if err = errors.Join(err, parseErr); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
		for _, e := range events {
			got[e.ID] = e
		}
	}))
	defer receiver.Close()
	hook.URL, hook.HTTP, hook.Batch, hook.Repeat, hook.Shuffle = receiver.URL, receiver.Client(), 2, 1, 7
	at := time.Unix(1_700_000_000, 0).UTC()
	events := []sendgridfake.Event{
		sendgridfake.Delivered(mails[0], at),
		sendgridfake.Deferred(mails[1], at, 2, "451 Person.1@example.org: try later"),
		sendgridfake.Bounce(mails[2], at, "5.1.1", "550 no user person.2 here"),
	}
	if err := hook.Post(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	if posts != 4 {
		t.Errorf("%d POSTs, want two batches twice", posts)
	}
	want := make(map[string]sendgrid.Event)
	for i, e := range []sendgrid.Event{
		{Type: "delivered", Reason: "250 2.0.0 OK"},
		{Type: "deferred", Reason: "451 ***@example.org: try later"},
		{Type: "bounce", BounceType: "bounce", Status: "5.1.1", Reason: "550 no user *** here"},
	} {
		e.ID, e.MessageID, e.At, e.Attempt, e.Position = events[i].ID, events[i].MessageID, at, attempt, 10+i
		want[e.ID] = e
		if !strings.HasPrefix(e.MessageID, sent.MessageID+".") {
			t.Errorf("%s does not begin with %s", e.MessageID, sent.MessageID)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(sendgrid.Event{})); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
}
