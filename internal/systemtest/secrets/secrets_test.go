package secrets_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/cli"
	"postern/internal/config"
	"postern/internal/giveup"
	"postern/internal/process/up"
)

// The demo's accounts, and the person who gets the message.
const (
	staffPassword  = "winter-garden-lantern"                // #nosec G101 -- invented
	portalPassword = "paper-boat-harbour"                   // #nosec G101 -- invented
	recipient      = "63ee2253-bdd5-da55-2ad2-b4984d0ad700" // Denis Schmitt
)

// What no one may find without the key.
const (
	subject      = "Zanzibar findings of the ninth"
	body         = "Quokka therapy begins on Thursday"
	documentName = "Wolpertinger report"
	document     = "Ocelot levels are twice the usual"
	draftSubject = "Axolotl appointment moved"
	draftBody    = "Bring the kumquat diary with you"
	wordingBody  = "Water the persimmon twice a day"
)

// What is stored in clear, by design: the search has to find these.
const (
	nameInDirectory = "Ingrid Berg"
	reasonOnRecord  = "Xylophone lesson cancelled"
)

// A message is sent, read and downloaded, a draft and a wording are saved, and a second factor is set up. Nothing
// of their content is in clear, or encoded, in what the system has stored: without the key no one
// can read it.
func TestWithoutTheKeyNothingCanBeRead(t *testing.T) {
	for _, name := range config.Names() {
		t.Setenv(name, "")
	}
	data := filepath.Join(t.TempDir(), "data")
	factor := ""
	var rows []byte
	whileUp(t, data, func(base string) {
		c := &client{t: t, base: base, token: strings.TrimSpace(run(t, "token", "create", "--staff", "admin@clinic.example.test", "--data", data))}
		c.sendAndRead()
		factor = c.setUp()
		rows = dump(t, data)
	})

	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(factor)
	if err != nil || len(secret) != 20 {
		t.Fatalf("the secret is %q, %v", factor, err)
	}
	secrets := map[string]string{"subject": subject, "body": body, "the name of a document": documentName, "a document": document,
		"the subject of a draft": draftSubject, "a draft": draftBody, "a saved wording": wordingBody, "the secret of a second factor": string(secret), "the same in letters": factor}
	var controls [2]bool
	search := func(where string, stored []byte) {
		for what, text := range secrets {
			for form, needle := range forms(text) {
				if bytes.Contains(stored, needle) {
					t.Errorf("%s: %s is there, in %s", where, what, form)
				}
			}
		}
		controls[0] = controls[0] || bytes.Contains(stored, []byte(nameInDirectory))
		controls[1] = controls[1] || bytes.Contains(stored, []byte(reasonOnRecord))
	}
	files := 0
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		stored, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		search(strings.TrimPrefix(path, data), stored)
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files were read: %v", files, err)
	}
	if controls != [2]bool{true, true} {
		t.Errorf("the files of the folder do not have what is stored in clear: %v", controls)
	}
	controls = [2]bool{}
	search("the rows of Postgres", rows)
	if controls != [2]bool{true, true} {
		t.Errorf("the rows do not have what is stored in clear: %v", controls)
	}
	// The stored events are compressed, so the record is searched as it is exported, too.
	controls = [2]bool{}
	exported := filepath.Join(t.TempDir(), "record.ndjson")
	run(t, "record", "export", "--format", "ndjson", "--out", exported, "--data", data)
	events, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	search("the record", events)
	if controls != [2]bool{false, true} {
		t.Errorf("the record does not have what is stored in clear, or has a name of the directory: %v", controls)
	}
}

// forms are the ways in which a text could be stored.
func forms(text string) map[string][]byte {
	all := map[string][]byte{"UTF-8": []byte(text), "hexadecimal": []byte(hex.EncodeToString([]byte(text))),
		"capital hexadecimal": []byte(strings.ToUpper(hex.EncodeToString([]byte(text))))}
	var little, big []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		little, big = append(little, byte(unit), byte(unit>>8)), append(big, byte(unit>>8), byte(unit))
	}
	all["UTF-16, little endian"], all["UTF-16, big endian"] = little, big
	// In base64 a text has three forms, by where it begins. Its first and last letters depend on
	// what is beside it.
	for shift := range 3 {
		padded := append(make([]byte, shift), text...)
		encoded := base64.StdEncoding.EncodeToString(padded)
		inner := encoded[4 : len(encoded)-4]
		all[fmt.Sprint("base64 after ", shift)] = []byte(inner)
		all[fmt.Sprint("base64 of addresses after ", shift)] = []byte(strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	return all
}

// run runs a verb and returns what it prints.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := cli.RunWith(t.Context(), args, strings.NewReader(""), &out, &errs); status != 0 {
		t.Fatalf("postern %s: status %d: %s", strings.Join(args, " "), status, errs.String())
	}
	return out.String()
}

// ready is a writer that waits for the line that says where the system serves.
type ready chan string

func (r ready) Write(p []byte) (int, error) {
	if _, url, found := strings.Cut(string(p), "ready url="); found {
		r <- strings.TrimSpace(url)
	}
	return len(p), nil
}

// whileUp runs the demo over a folder, calls do with its address, and ends it.
func whileUp(t *testing.T, data string, do func(base string)) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	serves, ended := make(ready, 1), make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		ended <- cli.RunWith(ctx, []string{"up", "--demo", "--data", data, "--listen", "127.0.0.1:0"}, strings.NewReader(""), serves, &errs)
	}()
	select {
	case base := <-serves:
		do(base)
		end()
		if status := <-ended; status != 0 {
			t.Errorf("up ended with status %d: %s", status, errs.String())
		}
	case status := <-ended:
		t.Fatalf("up ended with status %d: %s", status, errs.String())
	}
}

// dump returns every row of every table as text, after everything was written to the files.
func dump(t *testing.T, data string) []byte {
	t.Helper()
	running, err := up.Running(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), running.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('app', 'record', 'public')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 30 {
		t.Fatalf("%d tables: %v", len(tables), err)
	}
	var all bytes.Buffer
	for _, table := range tables {
		if _, err := conn.PgConn().CopyTo(t.Context(), &all, "COPY "+table+" TO STDOUT"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

// client calls the system as the administrator of the demo.
type client struct {
	t           *testing.T
	base, token string
}

// sendAndRead sends a message with a document, and reads it as its recipient. Its sender recalls
// another one.
func (c *client) sendAndRead() {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, _ := w.CreateFormFile("file", documentName+".txt")
	_, _ = io.WriteString(part, document+"\n")
	_ = w.Close()
	file := c.text(c.api(http.MethodPost, "/v1/attachments", w.FormDataContentType(), &form), "id")
	sent := c.send(map[string]any{"subject": subject, "body": body, "attachment_ids": []string{file}})
	other := c.send(map[string]any{"subject": "s", "body": "b"})
	reader := c.browser()
	c.post(reader, "/portal/sign-in", url.Values{"email": {"denis.schmitt@example.test"}, "password": {portalPassword}})
	c.eventually("the recipient reads the message", func() bool { return strings.Contains(c.get(reader, "/portal/messages/"+sent), body) })
	if got := c.get(reader, "/portal/messages/"+sent+"/documents/"+file+"/download"); !strings.Contains(got, document) {
		c.t.Errorf("the document is %q", got)
	}
	c.eventually("the other message is recalled", func() bool {
		r := c.request(http.MethodPost, "/v1/messages/"+other+"/recall", "application/json", strings.NewReader(`{"reason":"`+reasonOnRecord+`"}`))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			c.t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (c *client) send(message map[string]any) (id string) {
	message["recipients"], message["undo_seconds"] = map[string]any{"portal_user_ids": []string{recipient}}, 0
	text, err := json.Marshal(message)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.text(c.api(http.MethodPost, "/v1/messages", "application/json", bytes.NewReader(text)), "id")
}

// setUp saves a draft and begins to set up a second factor, of which it returns the secret.
func (c *client) setUp() (secret string) {
	staff := c.browser()
	c.post(staff, "/sign-in", url.Values{"email": {"admin@clinic.example.test"}, "password": {staffPassword}})
	draft := "/messages/drafts/" + uuid.NewString()
	c.post(staff, draft, url.Values{"version": {"0"}, "page": {"a"}, "subject": {draftSubject}, "message": {draftBody}})
	c.post(staff, "/messages/wordings", url.Values{"name": {"Care"}, "body": {wordingBody}, "published": {"yes"}})
	if got := c.get(staff, "/messages/wordings"); !strings.Contains(got, "Care") {
		c.t.Errorf("the wordings are %.2000s", got)
	}
	if got := c.get(staff, draft); !strings.Contains(got, draftSubject) || !strings.Contains(got, draftBody) {
		c.t.Errorf("the draft is %.2000s", got)
	}
	c.post(staff, "/account/second-factor", url.Values{})
	found := regexp.MustCompile(`<code class="app-break">([A-Z2-7 ]+)</code>`).FindStringSubmatch(c.get(staff, "/account/second-factor"))
	if found == nil {
		c.t.Fatal("no secret of a second factor is shown")
	}
	return strings.ReplaceAll(found[1], " ", "")
}

func (c *client) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func (c *client) post(by *http.Client, path string, form url.Values) {
	c.t.Helper()
	c.read(by.PostForm(c.base+path, form))
}

func (c *client) get(by *http.Client, path string) string {
	c.t.Helper()
	return c.read(by.Get(c.base + path))
}

func (c *client) read(res *http.Response, err error) string {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 500 {
		c.t.Fatalf("%s: %d %.500s, %v", res.Request.URL.Path, res.StatusCode, text, err)
	}
	return string(text)
}

func (c *client) request(method, path, contentType string, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Idempotency-Key", uuid.NewString())
	return r
}

func (c *client) api(method, path, contentType string, body io.Reader) string {
	c.t.Helper()
	return c.read(http.DefaultClient.Do(c.request(method, path, contentType, body)))
}

// text returns a text of an answer in JSON.
func (c *client) text(answer, name string) string {
	c.t.Helper()
	var fields map[string]any
	err := json.Unmarshal([]byte(answer), &fields)
	text, ok := fields[name].(string)
	if err != nil || !ok {
		c.t.Fatalf("the answer has no %s: %s", name, answer)
	}
	return text
}

func (c *client) eventually(what string, reached func() bool) {
	c.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(giveup.After); !reached(); {
		select {
		case <-again.C:
		case <-deadline:
			c.t.Fatalf("%s: not within a minute", what)
		}
	}
}
