package sendgrid

import (
	"encoding/json"
	netmail "net/mail"
	"postern/internal/text/language"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/sendgrid/sendgrid-go/helpers/mail"
	"pgregory.net/rapid"

	"postern/internal/clinic"
)

var (
	testFrom    = &netmail.Address{Name: `The "Old" Clinic, Zürich`, Address: "alerts@clinic.example"}
	testPortal  = `https://portal.example/sign-in?from="alert"&lang=en`
	testStop    = `https://portal.example/st"op/`
	testAttempt = uuid.MustParse("0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60")
)

// viaSendGridGo encodes the same request with SendGrid's own library.
func viaSendGridGo(attempt uuid.UUID, to []Address) []byte {
	m := mail.NewV3Mail()
	m.SetFrom(mail.NewEmail(testFrom.Name, testFrom.Address))
	subject, plain, html := alertText(testPortal, language.English, clinic.Face{})
	m.Subject = subject
	m.AddContent(mail.NewContent("text/plain", plain), mail.NewContent("text/html", html))
	m.SetCustomArg("attempt_id", attempt.String())
	m.SetHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	off := false
	m.SetTrackingSettings(&mail.TrackingSettings{
		ClickTracking:        &mail.ClickTrackingSetting{Enable: &off, EnableText: &off},
		OpenTracking:         &mail.OpenTrackingSetting{Enable: &off},
		SubscriptionTracking: &mail.SubscriptionTrackingSetting{Enable: &off},
	})
	for _, a := range to {
		p := mail.NewPersonalization()
		p.AddTos(mail.NewEmail("", a.Email))
		p.SetCustomArg("n", strconv.Itoa(a.Position))
		if a.Unsubscribe != "" {
			p.SetHeader("List-Unsubscribe", "<"+testStop+a.Unsubscribe+">")
		}
		m.AddPersonalizations(p)
	}
	return mail.GetRequestBody(m)
}

func TestBodyEqualsThatOfSendGridsLibrary(t *testing.T) {
	e := newEnvelope(testFrom, testPortal, testStop, language.English, clinic.Face{})
	rapid.Check(t, func(t *rapid.T) {
		emails := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z<>&"\\'\x00-\x1f\x{2028}]{1,8}@[a-z]{1,8}\.example`)), 1, 20).Draw(t, "emails")
		to := make([]Address, len(emails))
		for i, email := range emails {
			// SendGrid's library leaves out an empty address, so none is tested.
			to[i] = Address{Position: rapid.IntRange(0, 999_999).Draw(t, "position"), Email: "x" + email,
				Unsubscribe: rapid.StringMatching(`([A-Za-z0-9_-]{22})?`).Draw(t, "unsubscribe")}
		}
		got, want := decode(t, e.encode(testAttempt, to)), decode(t, viaSendGridGo(testAttempt, to))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("sendgrid-go's request (-) and ours (+):\n%s", diff)
		}
	})
}

func decode(t *rapid.T, body []byte) any {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	return v
}

func TestAlertTextSaysOnlyThatAMessageWaits(t *testing.T) {
	subject, plain, html := alertText(testPortal, language.English, clinic.Face{})
	if subject != "You have a new secure message" {
		t.Errorf("subject %q", subject)
	}
	if !strings.Contains(plain, "\n"+testPortal+"\n") {
		t.Errorf("the plain text has no line with only the link:\n%s", plain)
	}
	if !strings.Contains(html, `href="https://portal.example/sign-in?from=%22alert%22&amp;lang=en"`) {
		t.Errorf("the HTML lacks the escaped link:\n%s", html)
	}
	again, _, _ := alertText(testPortal, language.English, clinic.Face{})
	if again != subject {
		t.Error("the text changes from alert to alert")
	}
}

func BenchmarkEncode(b *testing.B) {
	to := thousand()
	b.Run("by hand", func(b *testing.B) {
		e := newEnvelope(testFrom, testPortal, testStop, language.English, clinic.Face{})
		for b.Loop() {
			b.SetBytes(int64(len(e.encode(testAttempt, to))))
		}
		b.ReportMetric(float64(b.N*len(to))/b.Elapsed().Seconds(), "recipients/s")
	})
	b.Run("by hand, without links to opt out", func(b *testing.B) {
		e, plain := newEnvelope(testFrom, testPortal, "", language.English, clinic.Face{}), thousand()
		for i := range plain {
			plain[i].Unsubscribe = ""
		}
		for b.Loop() {
			b.SetBytes(int64(len(e.encode(testAttempt, plain))))
		}
		b.ReportMetric(float64(b.N*len(to))/b.Elapsed().Seconds(), "recipients/s")
	})
	b.Run("sendgrid-go", func(b *testing.B) {
		for b.Loop() {
			viaSendGridGo(testAttempt, to)
		}
		b.ReportMetric(float64(b.N*len(to))/b.Elapsed().Seconds(), "recipients/s")
	})
}

func thousand() []Address {
	to := make([]Address, MaxRecipients)
	for i := range to {
		to[i] = Address{Position: i, Email: "portal-user-" + strconv.Itoa(100000+i) + "@example.org", Unsubscribe: "AAAAAAAAAAAAAAAAAAAAAA"}
	}
	return to
}

// The whole text of an alert and of each letter is translated, as text and as HTML, which names its
// language and direction.
func TestLanguagesOfTexts(t *testing.T) {
	_, plain, html := alertText(testPortal, language.Arabic, clinic.Face{})
	texts := []string{plain, html}
	for _, l := range []letter{invitation, reset, staffInvitation, staffReset, addressChanged, portalAddressChanged} {
		in := l.in(language.Arabic)
		texts = append(texts, in.plain("https://x", clinic.Face{}), in.html("https://x", clinic.Face{}), in.Subject)
		if in.Subject == l.Subject || in.Why == l.Why {
			t.Errorf("%q is not translated", l.Subject)
		}
	}
	for _, text := range texts {
		visible := regexp.MustCompile(`<!DOCTYPE html>|</?[a-z][^>]*>|https?://\S+`).ReplaceAllString(text, "")
		if word := regexp.MustCompile(`[A-Za-z]{2,}`).FindString(visible); word != "" {
			t.Errorf("%q is left in English in: %s", word, text)
		}
		if strings.Contains(text, "<html") && !strings.Contains(text, `<html lang="ar" dir="rtl">`) {
			t.Errorf("no direction in: %s", text)
		}
	}
}
