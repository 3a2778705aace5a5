package sendgridfake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

const attempt = "0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60"

// body gives an acceptable request with the given personalizations.
func body(personalizations ...string) string {
	return `{"personalizations":[` + strings.Join(personalizations, ",") + `],
		"from":{"email":"alerts@clinic.example","name":"Clinic"},"subject":"Hello",
		"content":[{"type":"text/plain","value":"plain"},{"type":"text/html","value":"<p>"}],
		"custom_args":{"attempt_id":"` + attempt + `"},"tracking_settings":{"open_tracking":{"enable":false}}}`
}

func to(email string) string { return `{"to":[{"email":"` + email + `"}]}` }

func each(n int, f func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = f(i)
	}
	return strings.Join(all, ",")
}

func numbered(n int) string {
	return each(n, func(i int) string {
		return fmt.Sprintf(`{"to":[{"email":"portal-user-%d@example.org"}],"custom_args":{"n":"%d"}}`, 100000+i, i)
	})
}

func post(t *testing.T, f *Fake, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v3/mail/send", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// faults gives the field and the message of each error.
func faults(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	var answer struct{ Errors []fault }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	var all []string
	for _, f := range answer.Errors {
		field := "null"
		if f.Field != nil {
			field = *f.Field
		}
		all = append(all, field+": "+f.Message)
	}
	return all
}

func TestRefusalsMatchSendGrids(t *testing.T) {
	good := to("jo@example.org")
	for _, tt := range []struct {
		name, body string
		want       []string
	}{
		{"no JSON", `{"personalizations":[`, []string{"null: Bad Request"}},
		{"nothing", ``, []string{"null: Bad Request"}},
		{"two values", body(good) + "{}", []string{"null: Bad Request"}},
		{"not UTF-8", body(to("jo\xff@example.org")), []string{"null: Bad Request"}},
		{"wrong escape", body(`{"t\xo":1}`), []string{"null: Bad Request"}},
		{"an array", `[]`, []string{": Invalid type. Expected: object, given: array."}},
		{"empty", `{}`, []string{
			"personalizations: The personalizations field is required and must have at least one personalization.",
			"from.email: The from object must be provided for every email send",
			"subject: The subject is required",
			"content: Unless a valid template_id is provided, the content parameter is required",
		}},
		{"no personalization", body(), []string{"personalizations: The personalizations field is required and must have at least one personalization."}},
		{"1,001 personalizations", body(numbered(1001)), []string{"personalizations: The personalization block is limited to 1000 personalizations per API request"}},
		{"1,001 recipients", body(`{"to":[` + each(1001, func(i int) string { return fmt.Sprintf(`{"email":"u%d@example.org"}`, i) }) + `]}`),
			[]string{"personalizations: There is a limit of 1000 total recipients (to + cc + bcc) per request."}},
		{"no to", body(good, `{}`), []string{"personalizations.1.to: The to array is required for all personalization objects, and must have at least one email object with a valid email address."}},
		{"empty to", body(`{"to":[]}`), []string{"personalizations.0.to: The to array is required for all personalization objects, and must have at least one email object with a valid email address."}},
		{"to of another type", body(`{"to":"jo@example.org"}`), []string{"personalizations.0.to: Invalid type. Expected: array, given: string."}},
		{"null personalization", body(`null`), []string{"personalizations.0: Invalid type. Expected: object, given: null."}},
		{"null recipient", body(`{"to":[null]}`), []string{"personalizations.0.to.0: Invalid type. Expected: object, given: null."}},
		{"no email", body(`{"to":[{"name":"Jo"}]}`), []string{"personalizations.0.to.0.email: The to email parameter is required."}},
		{"email of another type", body(`{"to":[{"email":["jo@example.org"]}]}`), []string{
			"personalizations.0.to.0.email: Invalid type. Expected: string, given: array."}},
		{"bad addresses", body(good, to("jo"), to("jo@example"), to(""), `{"to":[{"email":"ann@example.org"}],"cc":[{"email":"b c@example.org"}]}`), []string{
			"personalizations.1.to.0.email: Does not contain a valid address.",
			"personalizations.2.to.0.email: Does not contain a valid address.",
			"personalizations.3.to.0.email: Does not contain a valid address.",
			"personalizations.4.cc.0.email: Does not contain a valid address."}},
		{"name with a comma", body(`{"to":[{"email":"jo@example.org","name":"Smith, Jo"}]}`), []string{"personalizations.0.to.0.name: The name parameter cannot contain ; or ,"}},
		{"twice in one", body(`{"to":[{"email":"jo@example.org"}],"cc":[{"email":"JO@example.org"}]}`), []string{"personalizations.0: Each email address in the personalization block should be unique between to, cc, and bcc"}},
		{"twice in two", body(good, to("Jo@Example.org")), []string{"personalizations: Each unique email address in the personalizations array should only be included once"}},
		{"a number in custom_args", body(`{"to":[{"email":"jo@example.org"}],"custom_args":{"n":1}}`), []string{"null: Bad Request"}},
		{"large custom_args", body(`{"to":[{"email":"jo@example.org"}],"custom_args":{"n":"` + strings.Repeat("1", 10_000) + `"}}`), []string{"personalizations: The combined size of both global and personalization custom arguments may not exceed 10,000 bytes per personalization."}},
		{"unknown members", strings.Replace(body(`{"to":[{"email":"jo@example.org","x":1}],"y":2}`), `"subject"`, `"z":3,"subject"`, 1), []string{
			"personalizations.0.to.0: Additional property x is not allowed", "personalizations.0: Additional property y is not allowed", "z: Additional property z is not allowed"}},
		{"bad from", strings.Replace(body(good), "alerts@clinic.example", "alerts", 1), []string{"from.email: The from email does not contain a valid address."}},
		{"no subject", strings.Replace(body(good), `"subject":"Hello",`, "", 1), []string{"subject: The subject is required"}},
		{"empty content", strings.Replace(body(good), `"plain"`, `""`, 1), []string{"content.0.value: The content value must be a string at least one character in length."}},
		{"content in wrong order", strings.Replace(strings.Replace(body(good), "text/html", "text/x", 1), "text/plain", "text/html", 1), nil},
		{"plain after HTML", strings.NewReplacer("text/html", "text/plain", "text/plain", "text/html").Replace(body(good)), []string{"content: Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: text/plain needs to be first, followed by text/html, followed by any other content."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := New(Config{})
			w := post(t, f, tt.body)
			if tt.want == nil {
				if w.Code != http.StatusAccepted {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				return
			}
			// Long texts are shortened to their beginning.
			if diff := cmp.Diff(tt.want, faults(t, w), cmp.Comparer(samePrefix)); diff != "" || w.Code != http.StatusBadRequest {
				t.Errorf("%d; wanted (-) and got (+):\n%s", w.Code, diff)
			}
			if f.Count() != 0 {
				t.Error("a refused request was taken")
			}
		})
	}
}

func samePrefix(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

func TestRequestsWithWrongHeadersAreRefused(t *testing.T) {
	f := New(Config{APIKey: "key"})
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"valid", func(*http.Request) {}, 202},
		{"charset", func(r *http.Request) { r.Header.Set("Content-Type", "Application/JSON; charset=utf-8") }, 202},
		{"path", func(r *http.Request) { r.URL.Path = "/v3/mail" }, 404},
		{"method", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"no key", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"another key", func(r *http.Request) { r.Header.Set("Authorization", "Bearer other") }, 401},
		{"content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		{"gzip", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		{"31 MB", func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"subject":"` + strings.Repeat("a", 31<<20) + `"}`))
		}, 413},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v3/mail/send", strings.NewReader(body(to("jo@example.org"))))
		r.Header.Set("Authorization", "Bearer key")
		r.Header.Set("Content-Type", "application/json")
		tt.change(r)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

func TestAPersonalizationsCustomArgsAndSubjectTakePrecedence(t *testing.T) {
	other := uuid.MustParse("0190a8b5-7c1e-7f5e-9d8f-000000000000")
	f := New(Config{})
	w := post(t, f, body(
		`{"to":[{"email":"a@example.org"}],"custom_args":{"n":"1"}}`,
		`{"subject":"Mine","to":[{"email":"b@example.org"}],"bcc":[{"email":"c@example.org"}],"custom_args":{"attempt_id":"`+other.String()+`","n":"2"}}`,
		to("d@example.org"),
	))
	if w.Code != http.StatusAccepted {
		t.Fatal(w.Body)
	}
	type row struct {
		To, Subject string
		Attempt     uuid.UUID
		Position    int
	}
	var got []row
	for m := range f.Accepted() {
		if m.MessageID != w.Header().Get("X-Message-Id") || m.Letter.From != "Clinic <alerts@clinic.example>" || m.Letter.Text != "plain" || m.Letter.HTML != "<p>" {
			t.Errorf("%+v %+v", m, m.Letter)
		}
		got = append(got, row{m.To, m.Letter.Subject, m.Attempt, m.Position})
	}
	id := uuid.MustParse(attempt)
	want := []row{{"a@example.org", "Hello", id, 1}, {"b@example.org", "Mine", other, 2}, {"c@example.org", "Mine", other, 2}, {"d@example.org", "Hello", id, -1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
}

// FuzzParse looks for bodies that loop forever, panic, or are accepted although the
// standard library finds invalid JSON.
// Package sendgrid's form of a personalization is read in a faster way, with the same result.
func TestThePlainFormIsReadAsAnyOther(t *testing.T) {
	t.Parallel()
	for _, plain := range []string{numbered(3), `{"to":[{"email":"A@example.org"}],"custom_args":{"n":"007"}},{"to":[{"email":"a@example.org"}],"custom_args":{"n":"1"}}`,
		`{"to":[{"email":"no address"}],"custom_args":{"n":"1"}}`, `{"to":[{"email":"a\u0062@example.org"}],"custom_args":{"n":"1"}}`,
		`{"to":[{"email":"a@example.org"}],"custom_args":{"n":"-1"}}`, `{"to":[{"email":"a@example.org"}],"custom_args":{"n":""}}`,
		`{"to":[{"email":"a@example.org","name":"A"}],"custom_args":{"n":"1"}}`, `{"to":[{"email":"a@example.org"}],"custom_args":{"n":"12345678901"}}`} {
		read := func(personalizations string) *request {
			r := newRequest()
			r.body.WriteString(`{"personalizations":[` + personalizations + `]}`)
			r.parse(nil)
			return r
		}
		got, want := read(plain), read(strings.ReplaceAll(plain, `{"to"`, `{ "to"`))
		if diff := cmp.Diff(want.recipients, got.recipients, cmp.AllowUnexported(recipient{}, customArgs{})); diff != "" ||
			!bytes.Equal(want.addresses, got.addresses) || want.withoutSubject != got.withoutSubject || !cmp.Equal(want.faults, got.faults) {
			t.Errorf("%s: %s and %q, %v; want %q, %v", plain, diff, got.addresses, got.faults, want.addresses, want.faults)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(body(to("jo@example.org"))))
	f.Add([]byte(`{"personalizations":[{"to":[{"email":"\x"}]}]}`))
	f.Add([]byte(`{"personalizations":[{"t\`))
	f.Add([]byte(`{"content":[{"type":"text/plain"`))
	f.Add([]byte(`{"personalizations":[{"to":[{"email":"a@b.c"}],"custom_args":{"n":"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRequest()
		defer r.release()
		if err := r.readBody(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		r.parse(nil)
		if len(r.faults) == 0 && (!json.Valid(data) || len(r.recipients) == 0) {
			t.Fatalf("accepted with %d recipients: %q", len(r.recipients), data)
		}
	})
}

func BenchmarkFake(b *testing.B) {
	text := []byte(body(numbered(1000)))
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			r := newRequest()
			if err := r.readBody(bytes.NewReader(text)); err != nil {
				b.Fatal(err)
			}
			r.parse(nil)
			if len(r.faults) > 0 {
				b.Fatal(*r.faults[0].Field, r.faults[0].Message)
			}
			r.release()
		}
		b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "recipients/s")
	})
	b.Run("whole", func(b *testing.B) {
		f := New(Config{Keep: 100_000})
		b.ReportAllocs()
		for b.Loop() {
			r := httptest.NewRequest(http.MethodPost, "/v3/mail/send", bytes.NewReader(text))
			r.Header.Set("Authorization", "Bearer key")
			r.Header.Set("Content-Type", "application/json")
			f.ServeHTTP(httptest.NewRecorder(), r)
		}
		if f.Count() != b.N*1000 {
			b.Fatal(strconv.Itoa(f.Count()) + " accepted")
		}
		b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "recipients/s")
	})
}
