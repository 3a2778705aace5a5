package webtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromium is this test binary's, started at first use and ended by [Main]. Each
// test has a browser context of its own in it, which shares no cookie and no cache
// with another.
var chromium struct {
	once sync.Once
	ctx  context.Context
	dir  string
	err  error
}

// tabs are how many tests look at pages at once: a browser that has to share its
// processor with ten others is slow, and tells nothing more.
var tabs = make(chan struct{}, 2)

// errNoBrowser says that there is none on this machine.
var errNoBrowser = errors.New("there is no Chromium on this machine (sh tools/setup.sh browser)")

// The same places as tools/setup.sh looks in.
var browsers = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"}

func findBrowser() (string, error) {
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", errNoBrowser
}

// demandBrowser gives the running Chromium. A machine that has none and can't get
// one still tests the rest; in CI that is a failure.
func demandBrowser(t testing.TB) context.Context {
	t.Helper()
	chromium.once.Do(func() { chromium.err = startChromium() })
	switch {
	case errors.Is(chromium.err, errNoBrowser) && os.Getenv("CI") != "true":
		t.Skipf("NOT TESTED in a browser: %v", chromium.err)
	case chromium.err != nil:
		t.Fatalf("starting Chromium: %v", chromium.err)
	}
	return chromium.ctx
}

func startChromium() (err error) {
	path, err := findBrowser()
	if err != nil {
		return err
	}
	if chromium.dir, err = os.MkdirTemp("", "postern-chromium-"); err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(chromium.dir),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("hide-scrollbars", true),
		// Nothing but this machine is ever asked for anything.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses root with one
	}
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	quiet := func(string, ...any) {}
	chromium.ctx, _ = chromedp.NewContext(allocator, chromedp.WithLogf(quiet), chromedp.WithErrorf(quiet))
	return chromedp.Do(chromium.ctx)
}

// endChromium is what [Main] does at the end.
func endChromium() error {
	if chromium.ctx != nil && chromium.err == nil {
		ctx, cancel := context.WithTimeout(chromium.ctx, 10*time.Second)
		defer cancel()
		// A browser that does not go is killed, which is as well.
		_ = chromedp.Cancel(ctx)
	}
	if chromium.dir == "" {
		return nil
	}
	if err := os.RemoveAll(chromium.dir); err != nil && !strings.Contains(err.Error(), "not empty") {
		return fmt.Errorf("removing what Chromium kept: %w", err)
	}
	return nil
}
