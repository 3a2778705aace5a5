package webtest

import (
	"bytes"
	"context"
	"regexp"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Paper is a size of paper, in inches.
type Paper struct{ Width, Height float64 }

// The papers that people print on.
var (
	A4     = Paper{8.27, 11.69}
	Letter = Paper{8.5, 11}
)

// sheet is a page of a PDF that Chromium writes.
var sheet = regexp.MustCompile(`/Type\s*/Page\b[^s]`)

// Sheets prints the page as it is now, and returns on how many sheets of paper.
func (b *Browser) Sheets(p Paper) int {
	b.t.Helper()
	var pdf []byte
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		printed, err := chromedp.Call(ctx, page.PrintToPDF, page.PrintToPDFParams{PaperWidth: p.Width, PaperHeight: p.Height})
		if err == nil {
			pdf = printed.Data
		}
		return err
	}))
	if !bytes.HasPrefix(pdf, []byte("%PDF")) {
		b.t.Fatalf("at %s: the browser printed no PDF", b.where())
	}
	return len(sheet.FindAll(pdf, -1))
}

// Sheets is [Browser.Sheets], of the page where the errand is now.
func (e *Errand) Sheets(p Paper) int { e.t.Helper(); return e.b.Sheets(p) }
