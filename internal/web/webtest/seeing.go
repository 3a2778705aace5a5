package webtest

import (
	_ "embed"
	"encoding/json"

	"github.com/chromedp/chromedp"
)

// Sees waits until each of the texts can be read on the page, capitals or not.
func (b *Browser) Sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("to read “"+text+"”", func() (bool, error) { return ask[bool](b, "sees", text) })
	}
}

// SeesNot waits until none of the texts can be read.
func (b *Browser) SeesNot(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("no more to read “"+text+"”", func() (bool, error) {
			there, err := ask[bool](b, "sees", text)
			return !there, err
		})
	}
}

// At waits until the address is a path, with its query if it has one.
func (b *Browser) At(path string) {
	b.t.Helper()
	b.until("to be at "+path, func() (bool, error) {
		at, err := ask[string](b, "at")
		return at == path, err
	})
}

// Path is where the browser is, with the query.
func (b *Browser) Path() string {
	b.t.Helper()
	return must(ask[string](b, "at"))(b)
}

// Count waits until as many things as that which a selector means are in sight.
func (b *Browser) Count(selector string, n int) {
	b.t.Helper()
	b.until("the number of "+selector, func() (bool, error) {
		there, err := ask[int](b, "count", selector)
		return there == n, err
	})
}

// Reads waits until a field holds a value; a box that is ticked holds "true".
func (b *Browser) Reads(field, value string) {
	b.t.Helper()
	b.until(field+" to hold “"+value+"”", func() (bool, error) {
		holds, err := ask[*string](b, "value", field)
		return holds != nil && *holds == value, err
	})
}

// Focuses waits until the keyboard is at a thing.
func (b *Browser) Focuses(what string) {
	b.t.Helper()
	b.until("the keyboard to be at "+what, func() (bool, error) { return ask[bool](b, "isFocused", what) })
}

// Focused names what the keyboard is at.
func (b *Browser) Focused() string {
	b.t.Helper()
	return must(ask[string](b, "focused"))(b)
}

// Text is what can be read on the page.
func (b *Browser) Text() string {
	text, err := ask[string](b, "text")
	if err != nil {
		return "no page: " + err.Error()
	}
	return text
}

// Evaluate asks the page for something in JavaScript, for what has no words. T is
// as in JSON.
func Evaluate[T any](b *Browser, expression string) T {
	b.t.Helper()
	return must(chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise)))(b)
}

//go:embed axe/axe.min.js
var axe string

// Accessible demands that axe-core finds nothing on the page as it is now, nothing
// of its WCAG 2.1 A and AA, of the target sizes of 2.2, of what it calls best
// practice; and that nobody has to scroll it sideways. The policy of the page stays
// on: axe comes in by the debugger.
func (b *Browser) Accessible() {
	b.t.Helper()
	b.accessible("everything")
}

// accessible is [Browser.Accessible] for a part of what axe-core looks at: see axeFinds.
func (b *Browser) accessible(part string) {
	b.t.Helper()
	b.settle()
	if wide := must(ask[string](b, "sideways"))(b); wide != "" {
		b.t.Errorf("%s is wider than its window: %s", b.lookedAt(), wide)
	}
	if !Evaluate[bool](b, "Boolean(window.axe)") {
		b.do(chromedp.Evaluate[chromedp.Void](axe))
	}
	for _, fault := range must(ask[[]string](b, "axeFinds", part))(b) {
		b.t.Errorf("%s: axe: %s", b.lookedAt(), fault)
	}
}

// AccessibleAnyhow demands it of the page wide, narrow and dark. Colours, which take
// axe-core longest, are those of the wide page when it is narrow; in the dark nothing
// else can differ.
func (b *Browser) AccessibleAnyhow() {
	b.t.Helper()
	b.Wide()
	b.Light()
	b.Accessible()
	b.Narrow()
	b.accessible("all but colours")
	b.Dark()
	b.accessible("colours")
	b.Light()
	b.Wide()
}

func (b *Browser) lookedAt() string {
	how := ""
	if b.width < 600 {
		how += " narrow"
	}
	if b.dark {
		how += " dark"
	}
	return b.where() + how
}

func must[T any](v T, err error) func(b *Browser) T {
	return func(b *Browser) T {
		b.t.Helper()
		if err != nil {
			b.t.Fatalf("at %s: %v", b.where(), err)
		}
		return v
	}
}

func quoted(text string) string {
	b, _ := json.Marshal(text) // a string always can be
	return string(b)
}
