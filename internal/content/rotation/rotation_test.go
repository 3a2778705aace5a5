package rotation

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/content"
	"postern/internal/content/reader"
	"postern/internal/directory/audience"
	"postern/internal/giveup"
	"postern/internal/store/keyfile"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic has something in every place that a key wraps.
type clinic struct {
	*webtest.Site
	olga, paul      access.Staff
	draft, document uuid.UUID
	sent            []uuid.UUID
}

const body = "Please read it before your next visit."

func openClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{Site: webtest.New(t)}
	c.NewPortalUser(t, "ada")
	c.olga, c.paul = c.NewStaff(t, "Olga Owner", policy.All...), c.NewStaff(t, "Paul Permitted", policy.All...)
	must(t, c.Web.Gate.Enrol(t.Context(), subject(c.olga)))
	c.document = c.upload(t, "Care plan.txt")
	c.send(t, audience.Selection{PortalUserIDs: []string{"ada"}}, c.document)
	c.send(t, audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}})
	c.draft = uuid.New()
	inDraft := c.upload(t, "Not sent.txt")
	_, err := c.Web.Drafts.Save(t.Context(), subject(c.olga), c.draft, draft.Seen{Page: "a"}, func(d *draft.Content) {
		d.Subject, d.AttachmentIDs = "Flu vaccination", []uuid.UUID{inDraft}
	})
	must(t, err)
	_, err = c.Web.Wordings.Add(t.Context(), subject(c.olga), wording.Text{Name: "Aftercare", Body: "Please rest."}, true)
	must(t, err)
	files := []string{"patient_id,given_name,family_name,birth_date,status,deceased\nnew-1,Nora,Newcomb,1980-02-01,active,false\n"}
	_, err = c.Web.Uploads.Receive(t.Context(), subject(c.olga), func() (string, io.Reader, error) {
		if len(files) == 0 {
			return "", nil, io.EOF
		}
		file := files[0]
		files = nil
		return "patients.csv", strings.NewReader(file), nil
	})
	must(t, err)
	must(t, c.Web.Reader.SecureKeys(t.Context()))
	c.Settle(t)
	return c
}

func subject(s access.Staff) policy.Subject {
	return policy.Subject{Realm: policy.RealmStaff, ID: s.ID, Name: s.Name, Permissions: s.Permissions}
}

func (c *clinic) upload(t *testing.T, name string) uuid.UUID {
	t.Helper()
	up, err := c.Web.Composer.Upload(t.Context(), subject(c.olga), name, strings.NewReader("Ten times each, every morning.\n"))
	must(t, err)
	return up.ID
}

// send sends a message, and waits until it is delivered.
func (c *clinic) send(t *testing.T, to audience.Selection, documents ...uuid.UUID) {
	t.Helper()
	now := 0
	sent, err := c.Web.Composer.Send(t.Context(), subject(c.olga), uuid.NewString(),
		compose.Request{Subject: "Your care plan", Body: body, Recipients: to, AttachmentIDs: documents, UndoSeconds: &now})
	must(t, err)
	c.sent = append(c.sent, sent.ID)
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	for {
		changed := c.Position.Changed()
		m, err := c.Web.Messages.Message(ctx, c.olga.ID, sent.ID)
		must(t, err)
		if m.Progress.Recipients > 0 && m.Progress.Delivered == m.Progress.Recipients {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("a message was not delivered")
		}
	}
}

// as opens the content store with a key file, as another process does.
func (c *clinic) as(t *testing.T, keyFile string) *content.Store {
	t.Helper()
	kept, err := content.Open(t.Context(), c.ContentDir, keyFile)
	must(t, err)
	t.Cleanup(func() { _ = kept.Close() })
	return kept
}

// rotating is the configuration of another process than those of the clinic.
func (c *clinic) rotating(t *testing.T) Config {
	t.Helper()
	return Config{Pool: c.Admin, Content: c.as(t, c.ContentKeyFile)}
}

// copyOfKeyFile keeps the key file as it is now.
func (c *clinic) copyOfKeyFile(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(c.ContentKeyFile)
	must(t, err)
	path := filepath.Join(t.TempDir(), "kept.key")
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

// reads checks that everything can be read: by the clinic that runs, and by a process that starts.
func (c *clinic) reads(t *testing.T) {
	t.Helper()
	fresh := c.as(t, c.ContentKeyFile)
	for name, rd := range map[string]*reader.Reader{"the running process": c.Web.Reader, "another process": reader.New(reader.Config{Pool: c.Pool, Content: fresh})} {
		for _, id := range c.sent {
			if _, got, err := rd.Open(t.Context(), id); err != nil || got != body {
				t.Errorf("%s reads %q, %v", name, got, err)
			}
		}
		if _, _, err := rd.OpenAttachment(t.Context(), c.sent[0], c.document); err != nil {
			t.Errorf("%s reads a document: %v", name, err)
		}
	}
	if d, err := c.Web.Drafts.Open(t.Context(), subject(c.olga), c.draft); err != nil || d.Subject != "Flu vaccination" {
		t.Errorf("the draft is %q, %v", d.Subject, err)
	}
	if all, err := c.Web.Wordings.List(t.Context(), subject(c.olga)); err != nil || len(all) != 1 || all[0].Body != "Please rest." {
		t.Errorf("the wordings are %v, %v", all, err)
	}
	if _, err := c.Web.Gate.Enrolling(t.Context(), subject(c.olga)); err != nil {
		t.Errorf("the second factor: %v", err)
	}
	if _, err := c.Web.Uploads.Of(t.Context(), subject(c.olga)); err != nil {
		t.Errorf("the import: %v", err)
	}
	report, err := Check(t.Context(), Config{Pool: c.Admin, Content: fresh})
	must(t, err)
	for _, p := range report.Places {
		if p.Unreadable != 0 {
			t.Errorf("%s: %d can't be read", p.Name, p.Unreadable)
		}
	}
}

// wrapsAllBy checks that every place has keys, all of them wrapped by the one key of the file, and
// that rows and their copies are equal.
func (c *clinic) wrapsAllBy(t *testing.T) {
	t.Helper()
	report, err := Check(t.Context(), Config{Pool: c.Admin, Content: c.as(t, c.ContentKeyFile)})
	must(t, err)
	if len(report.Keys) != 1 || report.Primary != report.Keys[0] {
		t.Errorf("the file has the keys %v, the primary one is %s", report.Keys, report.Primary)
	}
	for _, p := range report.Places {
		if len(p.By) != 1 || p.By[report.Primary] == 0 || p.Unreadable != 0 {
			t.Errorf("%s: %v, %d unreadable; want all by %s", p.Name, p.By, p.Unreadable, report.Primary)
		}
	}
	for _, table := range keptTables {
		p := Config{Pool: c.Admin}
		rows, err := (&pass{rotation: &rotation{Config: p}}).selectRows(t.Context(), "SELECT "+table.id+", wrapped_key, "+table.sealed+" FROM "+table.table.table)
		must(t, err)
		for _, r := range rows {
			copied, err := c.Content.FindKeys(t.Context(), table.name(r.id))
			must(t, err)
			if !equal(copied, r.was) {
				t.Errorf("%s: the copy of %s differs from its row", table.table.name, r.id)
			}
		}
	}
	if _, err := os.Stat(c.ContentKeyFile + ".before-rotation"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy aside: %v", err)
	}
	info, err := os.Stat(c.ContentKeyFile)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the key file has mode %v", info.Mode())
	}
}

// opensNothing checks that a key file alone opens nothing.
func (c *clinic) opensNothing(t *testing.T, keyFile string) {
	t.Helper()
	report, err := Check(t.Context(), Config{Pool: c.Admin, Content: c.as(t, keyFile)})
	must(t, err)
	for _, p := range report.Places {
		if len(p.By) != 0 {
			t.Errorf("%s: the old key opens %v", p.Name, p.By)
		}
	}
}

// A rotation beside a running system: everything can be read before, during and after it; the old
// key file opens nothing afterwards; and no body, document or manifest is written again.
func TestRotate(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	c.wrapsAllBy(t)
	before, blobs := c.copyOfKeyFile(t), c.blobs(t)
	o := c.rotating(t)
	sent := false
	o.Progress = func(place string, _ int) {
		if place == "messages" && !sent { // in the middle
			sent = true
			c.send(t, audience.Selection{PortalUserIDs: []string{"ada"}})
			c.reads(t)
		}
	}
	report, err := Rotate(t.Context(), o)
	must(t, err)
	if report.Rewrapped() == 0 || !sent {
		t.Errorf("the report: %s", report)
	}
	c.reads(t)
	must(t, c.Web.Reader.SecureKeys(t.Context()))
	c.wrapsAllBy(t)
	c.opensNothing(t, before)
	for name, data := range blobs {
		if now, err := os.ReadFile(filepath.Join(c.ContentDir, name)); err != nil || !bytes.Equal(now, data) {
			t.Errorf("%s was written again: %v", name, err)
		}
	}
	if n, err := c.Web.Reader.UncopiedKeys(t.Context()); err != nil || n != 0 {
		t.Errorf("%d keys have no copy: %v", n, err)
	}
}

// blobs are the bodies, documents and manifests, as they are stored.
func (c *clinic) blobs(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, folder := range []string{"bodies", "attachments", "manifests"} {
		found, err := filepath.Glob(filepath.Join(c.ContentDir, folder, "*"))
		must(t, err)
		if len(found) == 0 {
			t.Fatalf("there is nothing in %s", folder)
		}
		for _, path := range found {
			name, err := filepath.Rel(c.ContentDir, path)
			must(t, err)
			all[name], err = os.ReadFile(path)
			must(t, err)
		}
	}
	return all
}

var errKilled = errors.New("killed")

// killAt ends a rotation before or after its nth step.
func killAt(n int) (step func(string) error, killed *string) {
	var mu sync.Mutex
	killed = new(string)
	return func(what string) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n >= 0 {
			return nil
		}
		if *killed == "" {
			*killed = what
		}
		return errKilled // also for what runs beside it
	}, killed
}

// A rotation that is killed at any of its steps leaves everything readable, and the next call
// finishes it.
func TestARotationThatIsKilledIsContinued(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	for n := 0; ; n++ {
		before := c.copyOfKeyFile(t)
		o := c.rotating(t)
		var at *string
		o.step, at = killAt(n)
		_, err := Rotate(t.Context(), o)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if *at == "" { // it came to its end
			if n < 15 {
				t.Errorf("it had only %d steps", n)
			}
			return
		}
		c.reads(t)
		_, err = Rotate(t.Context(), c.rotating(t))
		must(t, err)
		c.reads(t)
		c.wrapsAllBy(t)
		c.opensNothing(t, before)
		if t.Failed() {
			t.Fatalf("killed at step %d: %s", n, *at)
		}
	}
}

// With --prepare, processes learn of the key before it wraps. With --keep-old the old key stays
// until the next rotation, which removes it.
func TestARotationInThreeSteps(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	before := c.copyOfKeyFile(t)
	o := c.rotating(t)
	o.Prepare = true
	for range 2 { // once more changes nothing
		_, err := Rotate(t.Context(), o)
		must(t, err)
		report, err := Check(t.Context(), o)
		must(t, err)
		if len(report.Keys) != 2 || report.Primary != report.Keys[0] {
			t.Errorf("prepared: %s", report)
		}
	}
	// This process has a copy of the prepared file, which is never renewed.
	apart := c.as(t, c.copyOfKeyFile(t))
	o.Prepare, o.KeepOld = false, true
	report, err := Rotate(t.Context(), o)
	must(t, err)
	if len(report.Keys) != 2 || report.Primary != report.Keys[1] {
		t.Errorf("kept: %s", report)
	}
	c.opensNothing(t, before)
	if _, _, err := reader.New(reader.Config{Pool: c.Pool, Content: apart}).Open(t.Context(), c.sent[0]); err != nil {
		t.Errorf("a process with the prepared file: %v", err)
	}
	o.KeepOld = false
	_, err = Rotate(t.Context(), o)
	must(t, err)
	c.wrapsAllBy(t)
	c.reads(t)
}

// While a process wraps by the old key, because it does not see the new file, the old key stays.
func TestTheOldKeyStaysWhileAProcessUsesIt(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	stale := c.as(t, c.copyOfKeyFile(t))
	o := c.rotating(t)
	o.Progress = func(place string, _ int) {
		if place == bundleKeys { // at the end of each pass
			key, wrapped, err := stale.NewKey(c.draft)
			must(t, err)
			_ = key
			c.Exec(t, `UPDATE app.drafts SET wrapped_key = $2 WHERE draft_id = $1`, c.draft, wrapped)
		}
	}
	if _, err := Rotate(t.Context(), o); !errors.Is(err, ErrStillUsed) {
		t.Fatalf("got %v, want ErrStillUsed", err)
	}
	if ids, err := o.Content.KeyFile().IDs(); err != nil || len(ids) != 2 {
		t.Errorf("the file has the keys %v, %v", ids, err)
	}
	o.Progress = nil
	_, err := Rotate(t.Context(), o)
	must(t, err)
	c.wrapsAllBy(t)
}

// Two rotations don't run at once.
func TestOneRotationAtATime(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	o := c.rotating(t)
	var second error
	o.step = func(string) error {
		if second == nil {
			_, second = Rotate(t.Context(), c.rotating(t))
		}
		return nil
	}
	_, err := Rotate(t.Context(), o)
	must(t, err)
	if !errors.Is(second, ErrRunning) {
		t.Errorf("the second: %v, want ErrRunning", second)
	}
}

// If content is erased while its keys are wrapped again, no copy of them comes back.
func TestErasedKeysStayErased(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	o := c.rotating(t)
	o.KeepOld = true // one pass: the next one would find the copies
	var once sync.Once
	o.step = func(what string) error {
		if what != "before a copy is stored" {
			return nil
		}
		once.Do(func() {
			for _, id := range c.sent {
				asked, err := c.Web.Retention.Request(t.Context(), subject(c.olga).Actor(), id, "It went to the wrong person.")
				must(t, err)
				_, err = c.Web.Retention.Approve(t.Context(), subject(c.paul), asked.ID)
				must(t, err)
			}
		})
		return nil
	}
	_, err := Rotate(t.Context(), o)
	must(t, err)
	for _, id := range c.sent {
		for _, name := range []content.Name{content.KeysOf(id), content.ManifestKeysOf(id)} {
			if _, err := c.Content.FindKeys(t.Context(), name); !errors.Is(err, content.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What no key opens is counted, and does not keep the old key.
func TestDamagedKeysAreCounted(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	c.Exec(t, `UPDATE app.drafts SET wrapped_key = substr(wrapped_key, 1, 40)`)
	must(t, os.WriteFile(filepath.Join(c.ContentDir, string(content.KeysOf(c.sent[0]))), []byte("no JSON"), 0o600))
	report, err := Rotate(t.Context(), c.rotating(t))
	must(t, err)
	unreadable := map[string]int{}
	for _, p := range report.Places {
		if p.Unreadable > 0 {
			unreadable[p.Name] = p.Unreadable
		}
	}
	if diff := cmp.Diff(map[string]int{"drafts": 1, "copies of the keys of messages": 1}, unreadable); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
	if len(report.Keys) != 1 {
		t.Errorf("the file has the keys %v", report.Keys)
	}
}

// A change that began before the new key is given the time to end.
func TestTheOldKeyIsRemovedAfterTheWait(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	o := c.rotating(t)
	o.Wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(place string, _ int) {
		if place == bundleKeys {
			cancel() // the pass ends, and then it waits
		}
	}
	if _, err := Rotate(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if ids, err := o.Content.KeyFile().IDs(); err != nil || len(ids) != 2 {
		t.Errorf("the file has the keys %v, %v", ids, err)
	}
}

// Each column with wrapped keys is in a place, and so is each caller that wraps something.
func TestEveryWrappedKeyHasAPlace(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	rows, err := c.Admin.Query(t.Context(), `SELECT table_schema || '.' || table_name FROM information_schema.columns
		WHERE column_name = 'wrapped_key' AND table_schema IN ('app', 'record') ORDER BY 1`)
	must(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	var known []string
	for _, table := range tables {
		known = append(known, table.table)
	}
	for _, table := range keptTables {
		known = append(known, table.table.table)
	}
	slices.Sort(known)
	if diff := cmp.Diff(known, found); diff != "" {
		t.Errorf("tables with wrapped keys (-in a place +in the database):\n%s", diff)
	}
	wraps := regexp.MustCompile(`\.(NewKey\([^)]|SealSecret\()`)
	var callers []string
	root := filepath.Join("..", "..")
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && wraps.Match(text) {
			name, _ := filepath.Rel(root, path)
			callers = append(callers, filepath.ToSlash(name))
		}
		return err
	}))
	// A new file here needs a place, or says which place it writes to.
	if diff := cmp.Diff([]string{
		"access/enrolment.go",              // app.second_factors
		"compose/claim.go",                 // app.message_content
		"compose/copy.go",                  // app.attachments
		"compose/draft/draft.go",           // app.drafts
		"compose/wording/wording.go",       // app.wordings
		"content/attachment/attachment.go", // app.attachments
		"directory/roster/rosterstore/keep.go",
		"directory/roster/rosterstore/rosterstore.go", // app.rosters
		"directory/upload/receive.go",                 // app.directory_imports
		"fanout/freeze.go",                            // app.manifest_keys
		"proof/entrykey/entrykey.go",                  // app.entry_keys
	}, callers); diff != "" {
		t.Errorf("files that wrap keys (-known +found):\n%s", diff)
	}
}

// A second rotation can follow at once, and a file that another tool gave more keys is finished.
func TestAFileWithMoreKeys(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	o := c.rotating(t)
	for range 3 {
		must(t, o.Content.KeyFile().Add())
	}
	data, err := keyfile.Read(c.ContentKeyFile)
	must(t, err)
	if n := strings.Count(string(data), `"keyId"`); n != 4 {
		t.Fatalf("the file has %d keys", n)
	}
	for range 2 {
		_, err := Rotate(t.Context(), o)
		must(t, err)
		c.wrapsAllBy(t)
	}
	c.reads(t)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
