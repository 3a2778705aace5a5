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

	"github.com/chromedp/chromedp"

	"postern/internal/giveup"
)

// chromium is the browser of this test binary, started at first use and ended by
// [Main]. Each test has its own browser context in it, which shares no cookie and no
// cache with others.
var chromium struct {
	once sync.Once
	ctx  context.Context
	dir  string
	err  error
}

// tabs limits the number of tests that use the browser at once: with ten on one
// processor, each is slow, and the result is the same.
var tabs = make(chan struct{}, 2)

// errNoBrowser means that this machine has no Chromium.
var errNoBrowser = errors.New("there is no Chromium on this machine (sh tools/setup.sh browser)")

// browsers are the same names and paths as in tools/setup.sh.
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

// requireBrowser returns the running Chromium. Without one on the machine it skips the
// test; in CI it fails the test.
func requireBrowser(t testing.TB) context.Context {
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
		// The browser sends requests to this machine only.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox does not work for root
	}
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	quiet := func(string, ...any) {}
	chromium.ctx, _ = chromedp.NewContext(allocator, chromedp.WithLogf(quiet), chromedp.WithErrorf(quiet))
	return chromedp.Do(chromium.ctx)
}

// endChromium ends Chromium and removes its files; [Main] calls it at the end.
func endChromium() error {
	if chromium.ctx != nil && chromium.err == nil {
		ctx, cancel := context.WithTimeout(chromium.ctx, giveup.After)
		defer cancel()
		// A browser that does not end in time is killed.
		_ = chromedp.Cancel(ctx)
	}
	if chromium.dir == "" {
		return nil
	}
	if err := os.RemoveAll(chromium.dir); err != nil && !strings.Contains(err.Error(), "not empty") {
		return fmt.Errorf("removing Chromium's files: %w", err)
	}
	return nil
}
