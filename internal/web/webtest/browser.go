package webtest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"postern/internal/access"
	"postern/internal/text/language"
)

// waitTimeout is how long a browser waits for an expected state.
const waitTimeout = 20 * time.Second

// Browser drives a real browser, with scripts, a keyboard and a screen. Its methods are
// named for what people do and see:
//
//	b := webtest.OpenBrowser(t, site)
//	b.SignIn(sam)
//	b.Open("/messages/compose")
//	b.Type("Subject", "Aftercare")
//	b.Click("Save draft")
//	b.Sees("Draft saved")
//	b.Accessible()
//
// A method waits for the element that it clicks or types into, and for the page that a
// click loads. It waits for nothing else: call Sees for the expected text. An error on
// the console, an exception in a script, and anything that the content security policy
// refuses fail the test.
//
// An element is named by its text ("Save draft", the label
// "Subject"), or by a CSS selector that begins with # . or [.
type Browser struct {
	t         testing.TB
	ctx       context.Context
	base      string
	downloads string

	mu      sync.Mutex
	loading bool
	faults  []string
	got     map[string]string // names of complete downloads, by id
	named   map[string]string // names of started downloads, by id

	dark, print   bool
	width, height int64
}

// OpenBrowser opens a separate browser window on a site, not signed in. It closes with
// the test. Without a browser on the machine the test is skipped, and in CI it fails.
func OpenBrowser(t testing.TB, s *Site) *Browser {
	t.Helper()
	parent := requireBrowser(t)
	tabs <- struct{}{}
	t.Cleanup(func() { <-tabs })
	b := &Browser{t: t, base: s.Base, downloads: t.TempDir(), got: map[string]string{}, named: map[string]string{}, width: 1280, height: 900}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.onEvent))
	t.Cleanup(cancel)
	b.ctx = ctx
	t.Cleanup(b.reportFaults)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: b.downloads,
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID, EventsEnabled: new(true)})
		return err
	}))
	if err := chromedp.ListenBrowser(ctx, b.onEvent); err != nil {
		t.Fatal(err)
	}
	b.emulate()
	return b
}

// onEvent handles the browser's events. It must not send the browser a command.
func (b *Browser) onEvent(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *page.EventFrameRequestedNavigation, *page.EventFrameStartedLoading:
		b.loading = true
	case *page.EventFrameStoppedLoading:
		b.loading = false
	case *page.EventJavascriptDialogOpening:
		if e.Type != page.DialogTypeBeforeunload {
			b.faults = append(b.faults, "a script opened a browser dialog: "+e.Message)
		}
		go func() {
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, "a script threw: "+thrown(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			b.faults = append(b.faults, "a script wrote to the console: "+consoleText(e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !isRefusal(e.Entry) {
			b.faults = append(b.faults, fmt.Sprintf("the browser reported: %s (%s)", e.Entry.Text, e.Entry.URL))
		}
	case *browser.EventDownloadWillBegin:
		b.named[e.GUID] = e.SuggestedFilename
	case *browser.EventDownloadProgress:
		if name, ours := b.named[e.GUID]; ours && e.State == browser.DownloadProgressStateCompleted {
			b.got[e.GUID] = name
		}
	}
}

// isRefusal reports whether a log entry is about a 4xx answer, which is often the subject
// of a test. A missing file is not such an answer.
func isRefusal(e *log.Entry) bool {
	u, err := url.Parse(e.URL)
	return err == nil && e.Source == log.EntrySourceNetwork && strings.Contains(e.Text, "status of 4") &&
		!strings.HasPrefix(u.Path, "/static/") && u.Path != "/favicon.ico"
}

func thrown(e *runtime.ExceptionDetails) string {
	if e.Exception != nil && e.Exception.Description != "" {
		return e.Exception.Description
	}
	return e.Text
}

func consoleText(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		words = append(words, string(a.Value)+a.Description)
	}
	return strings.Join(words, " ")
}

// reportFaults reports the unexpected faults, and the page at which a failed test ended.
func (b *Browser) reportFaults() {
	b.mu.Lock()
	faults := b.faults
	b.mu.Unlock()
	for _, fault := range faults {
		b.t.Error(fault)
	}
	if b.t.Failed() {
		b.t.Logf("the browser was at %s\n%s", b.where(), b.Text())
	}
}

// Faults returns and clears the faults so far, for a test that expects them.
func (b *Browser) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := b.faults
	b.faults = nil
	return faults
}

// SignIn signs a staff member in.
func (b *Browser) SignIn(who access.Staff) {
	b.t.Helper()
	b.SignInIn(who, language.English)
}

// SignInIn is [Browser.SignIn] on a page in a language.
func (b *Browser) SignInIn(who access.Staff, l language.Language) {
	b.t.Helper()
	b.signIn("/sign-in", who.Email, l)
}

// SignInPortal signs a portal user in, by id.
func (b *Browser) SignInPortal(id string) {
	b.t.Helper()
	b.SignInPortalIn(id, language.English)
}

// SignInPortalIn is [Browser.SignInPortal] on a page in a language.
func (b *Browser) SignInPortalIn(id string, l language.Language) {
	b.t.Helper()
	b.signIn("/portal/sign-in", id+"@example.org", l)
}

func (b *Browser) signIn(path, email string, l language.Language) {
	b.t.Helper()
	b.Open(path)
	b.Type("#email", email)
	b.Type(l.Text("Password"), Password)
	b.Click(l.Text("Sign in"))
	b.until("to be signed in", func() (bool, error) {
		at, err := ask[string](b, "at")
		return at != path, err
	})
}

// Open goes to a page.
func (b *Browser) Open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
	b.settle()
}

// Reload loads the page again.
func (b *Browser) Reload() {
	b.t.Helper()
	b.do(chromedp.Reload())
	b.settle()
}

// SessionEndsIn makes the pages opened from now on show that their session ends in this
// many seconds. The session on the server is unchanged, and can be prolonged.
func (b *Browser) SessionEndsIn(seconds int) {
	b.t.Helper()
	b.overrideSession("sessionExpiresIn", seconds)
}

// SessionEndsForGoodIn is [Browser.SessionEndsIn] for the end that can't be postponed.
func (b *Browser) SessionEndsForGoodIn(seconds int) {
	b.t.Helper()
	b.overrideSession("sessionMost", seconds)
}

func (b *Browser) overrideSession(name string, seconds int) {
	b.t.Helper()
	script := fmt.Sprintf(`new MutationObserver(() => {
		if (document.body?.dataset.%[1]s) document.body.dataset.%[1]s = '%[2]d'
	}).observe(document, { childList: true, subtree: true })`, name, seconds)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// Wide, Narrow and Phone set the size of the window: that of a desktop, the 320 pixels
// that remain of a page at 400% zoom, and that of a phone.
func (b *Browser) Wide()   { b.width, b.height = 1280, 900; b.emulate() }
func (b *Browser) Narrow() { b.width, b.height = 320, 640; b.emulate() }
func (b *Browser) Phone()  { b.width, b.height = 390, 844; b.emulate() }

// Dark and Light set the reader's colour scheme.
func (b *Browser) Dark()  { b.dark = true; b.emulate() }
func (b *Browser) Light() { b.dark = false; b.emulate() }

// Print shows the page as printed, and Screen as on a screen.
func (b *Browser) Print()  { b.print = true; b.emulate() }
func (b *Browser) Screen() { b.print = false; b.emulate() }

func (b *Browser) emulate() {
	b.t.Helper()
	media, scheme := "", "light"
	if b.print {
		media = "print"
	}
	if b.dark {
		scheme = "dark"
	}
	b.do(chromedp.EmulateViewport(b.width, b.height),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media,
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme},
					{Name: "prefers-reduced-motion", Value: "reduce"}}})
			return err
		}))
}

func (b *Browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx := b.ctx
	if chromedp.FromContext(ctx).Target != nil { // the first call must have no timeout
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, waitTimeout)
		defer cancel()
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("at %s: %v", b.where(), err)
	}
}

//go:embed page.js
var helpers string

// ask calls a function of page.js.
func ask[T any](b *Browser, function string, args ...any) (T, error) {
	list, err := json.Marshal(append([]any{}, args...))
	if err != nil {
		return *new(T), err
	}
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T]("(() => {"+helpers+"\nreturn "+function+"(..."+string(list)+")})()", chromedp.EvalAwaitPromise))
}

// where returns the address without the ids in it.
func (b *Browser) where() string {
	at, err := ask[string](b, "at")
	if err != nil {
		return "no page"
	}
	return at
}

// until polls until done reports true, and fails the test after waitTimeout.
func (b *Browser) until(what string, done func() (bool, error)) {
	b.t.Helper()
	deadline := time.NewTimer(waitTimeout)
	defer deadline.Stop()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for {
		ok, err := done()
		if ok && err == nil {
			return
		}
		select {
		case <-deadline.C:
			b.t.Fatalf("at %s: timeout waiting for: %s (%v)", b.where(), what, err)
		case <-again.C:
		}
	}
}

// settle waits until the page has loaded.
func (b *Browser) settle() {
	b.t.Helper()
	_, _ = ask[bool](b, "turn") // by then the browser has reported whether it loads a page
	b.until("the page loads", func() (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return !b.loading, nil
	})
}
