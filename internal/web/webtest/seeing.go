package webtest

import (
	_ "embed"
	"encoding/json"

	"github.com/chromedp/chromedp"
)

// Sees waits until each of the texts is visible on the page. It ignores case.
func (b *Browser) Sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("to read “"+text+"”", func() (bool, error) { return ask[bool](b, "sees", text) })
	}
}

// SeesNot waits until none of the texts is visible.
func (b *Browser) SeesNot(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("not to read “"+text+"”", func() (bool, error) {
			there, err := ask[bool](b, "sees", text)
			return !there, err
		})
	}
}

// At waits until the address is path, including its query.
func (b *Browser) At(path string) {
	b.t.Helper()
	b.until("to be at "+path, func() (bool, error) {
		at, err := ask[string](b, "at")
		return at == path, err
	})
}

// Path returns the path of the current address, with the query.
func (b *Browser) Path() string {
	b.t.Helper()
	return must(ask[string](b, "at"))(b)
}

// Count waits until n elements that match a selector are visible.
func (b *Browser) Count(selector string, n int) {
	b.t.Helper()
	b.until("the number of "+selector, func() (bool, error) {
		there, err := ask[int](b, "count", selector)
		return there == n, err
	})
}

// Reads waits until a field holds a value. A ticked box holds "true".
func (b *Browser) Reads(field, value string) {
	b.t.Helper()
	b.until(field+" to hold “"+value+"”", func() (bool, error) {
		holds, err := ask[*string](b, "value", field)
		return holds != nil && *holds == value, err
	})
}

// Focuses waits until an element has the focus.
func (b *Browser) Focuses(what string) {
	b.t.Helper()
	b.until("the focus to be at "+what, func() (bool, error) { return ask[bool](b, "isFocused", what) })
}

// Focused names the element that has the focus.
func (b *Browser) Focused() string {
	b.t.Helper()
	return must(ask[string](b, "focused"))(b)
}

// Text returns the visible text of the page.
func (b *Browser) Text() string {
	text, err := ask[string](b, "text")
	if err != nil {
		return "no page: " + err.Error()
	}
	return text
}

// Evaluate evaluates a JavaScript expression in the page, for state without visible
// text. T is decoded from JSON.
func Evaluate[T any](b *Browser, expression string) T {
	b.t.Helper()
	return must(chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise)))(b)
}

//go:embed axe/axe.min.js
var axe string

// Accessible fails the test if axe-core finds a violation on the page as it is now: of
// WCAG 2.1 A and AA, of the target size of 2.2, or of its best practices. It also fails
// if the page scrolls sideways. The content security policy stays on: the debugger
// loads axe.
func (b *Browser) Accessible() {
	b.t.Helper()
	b.accessible("everything")
}

// accessible is [Browser.Accessible] for a part of axe-core's rules: see axeFinds.
func (b *Browser) accessible(part string) {
	b.t.Helper()
	b.settle()
	if wide := must(ask[string](b, "sideways"))(b); wide != "" {
		b.t.Errorf("%s is wider than its window: %s", b.viewName(), wide)
	}
	if !Evaluate[bool](b, "Boolean(window.axe)") {
		b.do(chromedp.Evaluate[chromedp.Void](axe))
	}
	for _, fault := range must(ask[[]string](b, "axeFinds", part))(b) {
		b.t.Errorf("%s: axe: %s", b.viewName(), fault)
	}
}

// AccessibleInAllViews checks the page wide, narrow and dark. Colour rules take axe-core
// longest, so they are not repeated for the narrow page, where colours are the same; in
// dark mode only colours can differ.
func (b *Browser) AccessibleInAllViews() {
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

func (b *Browser) viewName() string {
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
	b, _ := json.Marshal(text) // a string can always be encoded
	return string(b)
}
