package sendgrid

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"postern/internal/clinic"
)

const testLink = "https://portal.example/portal/invitation#pil_abc"

// A letter's body equals that of SendGrid's own library: one recipient, no tracking, and
// no custom_args, which SendGrid would keep.
func TestLetterBody(t *testing.T) {
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	c := letterClient(t, server.URL)
	if err := c.SendReset(t.Context(), `"noor"@home.example`, testLink); err != nil {
		t.Fatal(err)
	}
	m := mail.NewV3Mail()
	m.SetFrom(mail.NewEmail("Clinic", "alerts@clinic.example"))
	m.Subject = reset.Subject
	m.AddContent(mail.NewContent("text/plain", reset.plain(testLink, clinic.Face{})), mail.NewContent("text/html", reset.html(testLink, clinic.Face{})))
	off := false
	m.SetTrackingSettings(&mail.TrackingSettings{
		ClickTracking:        &mail.ClickTrackingSetting{Enable: &off, EnableText: &off},
		OpenTracking:         &mail.OpenTrackingSetting{Enable: &off},
		SubscriptionTracking: &mail.SubscriptionTrackingSetting{Enable: &off},
	})
	p := mail.NewPersonalization()
	p.AddTos(mail.NewEmail("", `"noor"@home.example`))
	m.AddPersonalizations(p)
	var want, got any
	if err := errors.Join(json.Unmarshal(mail.GetRequestBody(m), &want), json.Unmarshal(body, &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sendgrid-go's request (-) and ours (+):\n%s", diff)
	}
}

func letterClient(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: url, APIKey: "SG.x", From: "Clinic <alerts@clinic.example>", PublicURL: "https://portal.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A letter has a line with only the link, and says how long the link works.
func TestLetterTexts(t *testing.T) {
	for _, l := range []letter{invitation, reset, staffInvitation, staffReset} {
		if !strings.Contains(l.plain(testLink, clinic.Face{}), ":\n"+testLink+"\n") {
			t.Errorf("the plain text has no line with only the link:\n%s", l.plain(testLink, clinic.Face{}))
		}
		if html := l.html(testLink, clinic.Face{}); !strings.Contains(html, `<a href="`+testLink+`">`) {
			t.Errorf("the HTML lacks the link:\n%s", html)
		}
		for _, text := range []string{l.Once, keep, l.Others, silent} {
			if !strings.Contains(l.plain(testLink, clinic.Face{}), text) || !strings.Contains(l.html(testLink, clinic.Face{}), text) {
				t.Errorf("a letter lacks %q", text)
			}
		}
	}
}

// The letter about a changed address has no link and no address.
func TestALetterWithoutALink(t *testing.T) {
	for _, text := range []string{addressChanged.plain("", clinic.Face{}), addressChanged.html("", clinic.Face{})} {
		if strings.Contains(text, "href") || strings.Contains(text, "://") || strings.Contains(text, "@") || strings.Contains(text, keep) {
			t.Errorf("the letter is\n%s", text)
		}
		if !strings.Contains(text, addressChanged.Why) || !strings.Contains(text, silent) {
			t.Errorf("the letter lacks its text:\n%s", text)
		}
	}
}

// An error says whether a retry can help, and contains no address.
func TestLettersThatAreNotSent(t *testing.T) {
	for _, test := range []struct {
		status int
		answer string
		again  bool
	}{
		{http.StatusServiceUnavailable, "", true},
		{http.StatusTooManyRequests, "", true},
		{http.StatusGatewayTimeout, "", true},
		{http.StatusUnauthorized, "", false},
		{http.StatusBadRequest, `{"errors":[{"message":"noor@home.example is not valid","field":"personalizations.0.to.0.email"}]}`, false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.answer)
		}))
		err := letterClient(t, server.URL).SendInvitation(t.Context(), "noor@home.example", testLink)
		server.Close()
		var notSent *NotSent
		if !errors.As(err, &notSent) || (notSent.RetryAfter() > 0) != test.again || strings.Contains(err.Error(), "noor") || strings.Contains(err.Error(), "pil_") {
			t.Errorf("%d: %v", test.status, err)
		}
	}
}

// E-mails come from the clinic and end with how to reach it. A change takes effect at the next
// one; if the details can't be read, those before stay.
func TestEmailsAreTheClinics(t *testing.T) {
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	var now clinic.Face
	var broken error
	c, err := New(Config{BaseURL: server.URL, APIKey: "SG.x", From: "Alerts <alerts@clinic.example>", PublicURL: "https://portal.example",
		Clinic: func(context.Context) (clinic.Face, error) { return now, broken }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	of := func(details clinic.Details) clinic.Face { return clinic.Face{Details: details} }
	for _, step := range []struct {
		clinic      clinic.Face
		broken      error
		from, plain string
		html        string
	}{
		{clinic.Face{}, nil, "Alerts", "are not read.\n", "are not read.</p>\n</body>"},
		{of(clinic.Details{Name: "Hill & Lake", Telephone: "555 0100", Address: "1 Lake Road\nSpringfield"}), nil, "Hill & Lake",
			"are not read.\n\nHill & Lake\n1 Lake Road\nSpringfield\nTelephone 555 0100\n",
			`<p dir="auto">Hill &amp; Lake<br>1 Lake Road<br>Springfield<br>Telephone 555 0100</p>`},
		{clinic.Face{}, errors.New("no database"), "Hill & Lake", "\nTelephone 555 0100\n", "555 0100</p>"},
		{of(clinic.Details{Name: "Lakeside"}), nil, "Lakeside", "are not read.\n\nLakeside\n", `<p dir="auto">Lakeside</p>`},
	} {
		now, broken = step.clinic, step.broken
		for kind, send := range map[string]func() error{
			"a letter": func() error { return c.SendReset(t.Context(), "noor@home.example", testLink) },
			"an alert": func() error {
				if r := c.Send(t.Context(), testAttempt, []Address{{Email: "noor@home.example"}}); r.Kind != Accepted {
					return errors.New(r.Reason)
				}
				return nil
			},
		} {
			if err := send(); err != nil {
				t.Fatal(err)
			}
			var sent struct {
				From    struct{ Name string }
				Content []struct{ Value string }
			}
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Fatal(err)
			}
			if sent.From.Name != step.from || !strings.HasSuffix(sent.Content[0].Value, step.plain) || !strings.Contains(sent.Content[1].Value, step.html) {
				t.Errorf("%s is from %q and reads\n%s\n%s", kind, sent.From.Name, sent.Content[0].Value, sent.Content[1].Value)
			}
		}
	}
}
