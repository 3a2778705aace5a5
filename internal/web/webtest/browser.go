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
)

// waitTimeout is how long a browser waits for what it is told to see.
const waitTimeout = 20 * time.Second

// Browser is somebody at a real browser, with scripts, a keyboard and eyes. It says
// what people do and see:
//
//	b := webtest.OpenBrowser(t, site)
//	b.SignIn(sam)
//	b.Open("/messages/compose")
//	b.Type("Subject", "Aftercare")
//	b.Click("Save draft")
//	b.Sees("Draft saved")
//	b.Accessible()
//
// Whatever is clicked or typed into is waited for, and whatever a click begins to
// load has loaded when the click returns. Nothing else is waited for: say what is
// to be seen next. An error on the console, a script that throws and anything that
// the policy of the pages refuses fail the test.
//
// A thing is named as people name it, by its words ("Save draft", the label
// "Subject"), or else by a selector of CSS that begins with # . or [.
type Browser struct {
	t         testing.TB
	ctx       context.Context
	base      string
	downloads string

	mu      sync.Mutex
	loading bool
	faults  []string
	got     map[string]string // names of downloads that are complete, by id
	named   map[string]string // and of those that began

	dark, print   bool
	width, height int64
}

// OpenBrowser opens a window of its own on a site, with nobody signed in. It closes
// with the test. Where there is no browser the test is skipped, and in CI it fails.
func OpenBrowser(t testing.TB, s *Site) *Browser {
	t.Helper()
	parent := demandBrowser(t)
	tabs <- struct{}{}
	t.Cleanup(func() { <-tabs })
	b := &Browser{t: t, base: s.Base, downloads: t.TempDir(), got: map[string]string{}, named: map[string]string{}, width: 1280, height: 900}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.heard))
	t.Cleanup(cancel)
	b.ctx = ctx
	t.Cleanup(b.leave)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: b.downloads,
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID, EventsEnabled: new(true)})
		return err
	}))
	if err := chromedp.ListenBrowser(ctx, b.heard); err != nil {
		t.Fatal(err)
	}
	b.look()
	return b
}

// heard takes what the browser says. It must not ask it anything.
func (b *Browser) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *page.EventFrameRequestedNavigation, *page.EventFrameStartedLoading:
		b.loading = true
	case *page.EventFrameStoppedLoading:
		b.loading = false
	case *page.EventJavascriptDialogOpening:
		if e.Type != page.DialogTypeBeforeunload {
			b.faults = append(b.faults, "a script asked with a box of the browser's: "+e.Message)
		}
		go func() {
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, "a script threw: "+thrown(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			b.faults = append(b.faults, "a script said on the console: "+spoken(e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !refusal(e.Entry) {
			b.faults = append(b.faults, fmt.Sprintf("the browser said: %s (%s)", e.Entry.Text, e.Entry.URL))
		}
	case *browser.EventDownloadWillBegin:
		b.named[e.GUID] = e.SuggestedFilename
	case *browser.EventDownloadProgress:
		if name, ours := b.named[e.GUID]; ours && e.State == browser.DownloadProgressStateCompleted {
			b.got[e.GUID] = name
		}
	}
}

// refusal tells what a browser reports of an answer of 4xx, which is often the very
// thing a story is about. A file that is missing is not.
func refusal(e *log.Entry) bool {
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

func spoken(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		words = append(words, string(a.Value)+a.Description)
	}
	return strings.Join(words, " ")
}

// leave says what went wrong that nobody asked about, and where a test that failed
// stood.
func (b *Browser) leave() {
	b.mu.Lock()
	faults := b.faults
	b.mu.Unlock()
	for _, fault := range faults {
		b.t.Error(fault)
	}
	if b.t.Failed() {
		b.t.Logf("the browser stood at %s\n%s", b.where(), b.Text())
	}
}

// Faults takes the faults that were heard so far, for a test that means them.
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
	b.signIn("/sign-in", who.Email)
}

// SignInPortal signs a portal user in, by id.
func (b *Browser) SignInPortal(id string) {
	b.t.Helper()
	b.signIn("/portal/sign-in", id+"@example.org")
}

func (b *Browser) signIn(path, email string) {
	b.t.Helper()
	b.Open(path)
	b.Type("E-mail address", email)
	b.Type("Password", Password)
	b.Click("Sign in")
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

// Reload asks for the page once more.
func (b *Browser) Reload() {
	b.t.Helper()
	b.do(chromedp.Reload())
	b.settle()
}

// SessionEndsIn lets the pages that are opened from now on believe that their session
// ends so soon. The server knows better, and can be asked to go on with it.
func (b *Browser) SessionEndsIn(seconds int) { b.t.Helper(); b.believe("sessionExpiresIn", seconds) }

// SessionEndsForGoodIn is [Browser.SessionEndsIn] for the end that nothing puts off.
func (b *Browser) SessionEndsForGoodIn(seconds int) { b.t.Helper(); b.believe("sessionMost", seconds) }

func (b *Browser) believe(name string, seconds int) {
	b.t.Helper()
	script := fmt.Sprintf(`new MutationObserver(() => {
		if (document.body?.dataset.%[1]s) document.body.dataset.%[1]s = '%[2]d'
	}).observe(document, { childList: true, subtree: true })`, name, seconds)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// Wide, Narrow and Phone choose how large the window is: that of a desk, the 320
// pixels to which a page at 400% zoom comes down, that of a phone.
func (b *Browser) Wide()   { b.width, b.height = 1280, 900; b.look() }
func (b *Browser) Narrow() { b.width, b.height = 320, 640; b.look() }
func (b *Browser) Phone()  { b.width, b.height = 390, 844; b.look() }

// Dark and Light choose the reader's colours.
func (b *Browser) Dark()  { b.dark = true; b.look() }
func (b *Browser) Light() { b.dark = false; b.look() }

// Paper shows the page as it prints, and Screen as it does not.
func (b *Browser) Paper()  { b.print = true; b.look() }
func (b *Browser) Screen() { b.print = false; b.look() }

func (b *Browser) look() {
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
	if chromedp.FromContext(ctx).Target != nil { // the first call must have no end
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

// where is the address without what it names.
func (b *Browser) where() string {
	at, err := ask[string](b, "at")
	if err != nil {
		return "no page"
	}
	return at
}

// until asks again and again, as a page that is on its way is there in a moment.
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
			b.t.Fatalf("at %s: waited in vain: %s (%v)", b.where(), what, err)
		case <-again.C:
		}
	}
}

// settle waits until what was begun has loaded.
func (b *Browser) settle() {
	b.t.Helper()
	_, _ = ask[bool](b, "turn") // by then the browser has said whether it will load
	b.until("the page loads", func() (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return !b.loading, nil
	})
}
