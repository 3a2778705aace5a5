package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/api"
	"postern/internal/compose/composetest"
	"postern/internal/inbound"
	"postern/internal/notify/sendgridfake"
	"postern/internal/problem/document"
	"postern/internal/process"
	"postern/internal/store/storetest"
	"postern/internal/text/zone"
)

// The clinic is not in UTC, and the API is: every answer is checked for that.
func TestMain(m *testing.M) {
	if err := zone.Use("Asia/Kathmandu"); err != nil {
		panic(err)
	}
	storetest.Main(m)
}

// local is a time that is not in UTC.
var local = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+[+-]\d\d:\d\d"`)

// system is a system that is reached through real HTTP.
type system struct {
	*composetest.System
	web  *process.Web
	gate *access.Gate
	api  *api.API
	url  string
	hook sendgridfake.Webhook // SendGrid's
}

const password = "korrekt-pferd-batterie"

func newSystem(t *testing.T, change ...func(*process.WebConfig)) *system {
	t.Helper()
	key, err := sendgridfake.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &system{System: composetest.New(t), hook: sendgridfake.Webhook{PrivateKey: key}}
	cfg := process.WebConfig{Publish: s.Publish, PublishTimeout: time.Minute}
	for _, f := range change {
		f(&cfg)
	}
	s.web = s.wire(t, cfg)
	s.gate, s.api = s.web.Gate, s.web.API
	server := httptest.NewUnstartedServer(nil)
	server.Config = serve(s.api)
	server.Start()
	t.Cleanup(func() {
		s.api.Close()
		server.Close()
	})
	s.url, s.hook.URL = server.URL, server.URL+"/webhooks/sendgrid"
	return s
}

// serve makes the server that ships for an API: one that trusts a proxy on this machine.
func serve(a *api.API) *http.Server {
	return inbound.NewServer(a, inbound.Proxies{netip.MustParsePrefix("127.0.0.0/8")}, slog.New(slog.DiscardHandler))
}

// wire wires what answers requests, with the publisher, the logger and the checks of cfg.
func (s *system) wire(t *testing.T, cfg process.WebConfig) *process.Web {
	t.Helper()
	var err error
	if cfg.ReadReports, err = process.ReadReports(s.hook.PublicKey(), s.Clock.Now); err != nil {
		t.Fatal(err)
	}
	cfg.Pool, cfg.Content, cfg.Log, cfg.Position, cfg.Source = s.Pool, s.Content, s.Log, s.Position, "/api"
	cfg.Fail, cfg.PasswordCost, cfg.CatchUp, cfg.Now = document.Unavailable, access.TestCost, time.Minute, s.Clock.Now
	w, err := process.WireWeb(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// client makes requests, with a token or with cookies.
type client struct {
	t     *testing.T
	url   string
	id    string
	email string
	token string
	http  *http.Client
}

func (s *system) anonymous(t *testing.T) *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, url: s.url, http: &http.Client{Jar: jar}}
}

// staff makes a staff member, who comes with a token.
func (s *system) staff(t *testing.T, name string, permissions ...policy.Permission) *client {
	t.Helper()
	c := s.anonymous(t)
	c.email = strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@clinic.example"
	made, err := s.gate.CreateStaff(t.Context(), "operator:test", access.NewStaff{Email: c.email, Name: name, Password: password, Permissions: permissions})
	if err != nil {
		t.Fatal(err)
	}
	c.id = made.ID
	if _, c.token, err = s.gate.CreateToken(t.Context(), "operator:test", c.id, access.NewToken{Name: "of the test"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// portalUser makes a portal user with a patient, who is signed in.
func (s *system) portalUser(t *testing.T, id string) *client {
	t.Helper()
	s.PortalUser(t, id)
	if err := s.gate.SetPortalPassword(t.Context(), "operator:test", id, password); err != nil {
		t.Fatal(err)
	}
	c := s.anonymous(t)
	c.id, c.email = id, id+"@example.org"
	c.post("/v1/portal/session", map[string]any{"email": c.email, "password": password}).is(http.StatusOK)
	return c
}

// reply is what came back.
type reply struct {
	t      *testing.T
	asked  string
	status int
	header http.Header
	body   []byte
}

func (c *client) do(method, path string, body io.Reader, header ...string) *reply {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if at := local.Find(data); at != nil && path != "/openapi.json" {
		c.t.Errorf("%s %s: the time %s is not in UTC", method, path, at)
	}
	return &reply{c.t, method + " " + path, res.StatusCode, res.Header, data}
}

func (c *client) get(path string) *reply {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil)
}

func (c *client) json(method, path string, body any, header ...string) *reply {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do(method, path, bytes.NewReader(data), append([]string{"Content-Type", "application/json"}, header...)...)
}

func (c *client) post(path string, body any, header ...string) *reply {
	c.t.Helper()
	return c.json(http.MethodPost, path, body, header...)
}

// form is a multipart form with one file.
func form(field, name string, data []byte) (body *bytes.Buffer, contentType string) {
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	part, _ := w.CreateFormFile(field, name)
	_, _ = part.Write(data)
	_ = w.Close()
	return body, w.FormDataContentType()
}

func (c *client) upload(name string, data []byte) *reply {
	c.t.Helper()
	body, contentType := form("file", name, data)
	return c.do(http.MethodPost, "/v1/attachments", body, "Content-Type", contentType)
}

// send sends a message under a key of its own and gives its id.
func (c *client) send(message map[string]any) string {
	c.t.Helper()
	return c.post("/v1/messages", message, "Idempotency-Key", uuid.NewString()).is(http.StatusAccepted).text("id")
}

// letter is a message to portal users.
func letter(subject string, to ...string) map[string]any {
	return map[string]any{"subject": subject, "body": "Dear you,\nplease read.", "recipients": map[string]any{"portal_user_ids": to}}
}

// is demands a status.
func (r *reply) is(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s was answered with %d, want %d: %s", r.asked, r.status, status, r.body)
	}
	return r
}

// at gives a value of the answer by its path, such as "items.0.name"; nil where
// there is none.
func (r *reply) at(path string) any {
	r.t.Helper()
	var v any
	if err := json.Unmarshal(r.body, &v); err != nil {
		r.t.Fatalf("%s was answered with no JSON: %s", r.asked, r.body)
	}
	for _, key := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			var i int
			if err := json.Unmarshal([]byte(key), &i); err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

func (r *reply) text(path string) string {
	r.t.Helper()
	s, ok := r.at(path).(string)
	if !ok {
		r.t.Fatalf("%s was answered without a text %s: %s", r.asked, path, r.body)
	}
	return s
}

// all gives a text of every item.
func (r *reply) all(key string) []string {
	r.t.Helper()
	items, ok := r.at("items").([]any)
	if !ok {
		r.t.Fatalf("%s was answered with no list: %s", r.asked, r.body)
	}
	texts := []string{}
	for _, item := range items {
		s, _ := item.(map[string]any)[key].(string)
		texts = append(texts, s)
	}
	return texts
}
