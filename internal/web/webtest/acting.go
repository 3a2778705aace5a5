package webtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Click clicks a link, a button or a choice, named by its text. It must be visible, with
// nothing above it.
func (b *Browser) Click(what string) {
	b.t.Helper()
	x, y := b.spot(what)
	b.do(chromedp.MouseClickXY(x, y))
	b.settle()
}

// Hold presses the mouse button on an element until release is called.
func (b *Browser) Hold(what string) (release func()) {
	b.t.Helper()
	x, y := b.spot(what)
	mouse := func(event input.DispatchMouseEventType) {
		b.t.Helper()
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: event, X: x, Y: y, Button: input.MouseButtonLeft, ClickCount: 1})
			return err
		}))
	}
	mouse(input.DispatchMouseEventTypeMousePressed)
	return func() {
		b.t.Helper()
		mouse(input.DispatchMouseEventTypeMouseReleased)
		b.settle()
	}
}

func (b *Browser) spot(what string) (x, y float64) {
	b.t.Helper()
	var at *struct {
		X, Y    float64
		Covered string
	}
	b.until(what+" can be clicked", func() (bool, error) {
		var err error
		at, err = ask[*struct {
			X, Y    float64
			Covered string
		}](b, "spot", what)
		return at != nil && at.Covered == "", err
	})
	return at.X, at.Y
}

// Type replaces the text of a field, key by key. Give a date or a time in the form in
// which it is sent: 2026-11-24T17:30.
func (b *Browser) Type(field, text string) {
	b.t.Helper()
	var kind string
	b.until(field+" can be typed into", func() (_ bool, err error) {
		kind, err = ask[string](b, "focus", field)
		return kind != "", err
	})
	switch {
	case kind == "date" || kind == "time" || kind == "datetime-local":
		b.set(field, text)
	case text == "":
		b.Press("Delete")
	case len(text) > 100 || strings.Contains(text, "\n"):
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text})
			return err
		}))
	default:
		b.keys(text, 0)
	}
}

// keys presses and releases one key after the other. The letter is part of the key-down
// event, so a page that refuses the key refuses the letter.
func (b *Browser) keys(text string, held chromedp.Modifier) {
	b.t.Helper()
	for _, letter := range text {
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			encoded := kb.Encode(letter)
			down, up := encoded[0], encoded[len(encoded)-1]
			down.Type = input.DispatchKeyEventTypeRawKeyDown
			if len(encoded) == 3 && held&^chromedp.ModifierShift == 0 {
				down.Type, down.Text, down.UnmodifiedText = input.DispatchKeyEventTypeKeyDown, encoded[1].Text, encoded[1].UnmodifiedText
			}
			for _, event := range []*input.DispatchKeyEventParams{down, up} {
				event.Modifiers |= int64(held)
				if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, *event); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// Choose selects an option of a list by its text.
func (b *Browser) Choose(field, option string) {
	b.t.Helper()
	b.set(field, option)
	b.settle()
}

func (b *Browser) set(field, value string) {
	b.t.Helper()
	b.until(field+" can be set to "+value, func() (bool, error) { return ask[bool](b, "set", field, value) })
}

// named are the keys that have a name instead of a letter.
var named = map[string]string{"Enter": kb.Enter, "Tab": kb.Tab, "Escape": kb.Escape, "Space": " ", "Backspace": kb.Backspace, "Delete": kb.Delete,
	"ArrowDown": kb.ArrowDown, "ArrowUp": kb.ArrowUp, "ArrowLeft": kb.ArrowLeft, "ArrowRight": kb.ArrowRight, "Home": kb.Home, "End": kb.End}

// Press presses keys one after the other: "Tab", "Shift+Tab", "Enter", "/", "a".
func (b *Browser) Press(names ...string) {
	b.t.Helper()
	for _, name := range names {
		var held chromedp.Modifier
		for _, modifier := range []struct {
			name string
			is   chromedp.Modifier
		}{{"Shift+", chromedp.ModifierShift}, {"Control+", chromedp.ModifierCtrl}, {"Alt+", chromedp.ModifierAlt}} {
			if rest, with := strings.CutPrefix(name, modifier.name); with {
				name, held = rest, held|modifier.is
			}
		}
		key, isNamed := named[name]
		if !isNamed {
			key = name
		}
		b.keys(key, held)
		b.settle()
	}
}

// TabTo presses Tab until an element has the focus, as people without a mouse do.
func (b *Browser) TabTo(what string) {
	b.t.Helper()
	for range 200 {
		if at, err := ask[bool](b, "isFocused", what); err == nil && at {
			return
		}
		b.Press("Tab")
	}
	b.t.Fatalf("at %s: pressing Tab 200 times does not reach %s", b.where(), what)
}

// File is a file to upload, or a downloaded one.
type File struct {
	Name string
	Data []byte
}

// Upload selects files in a file field.
func (b *Browser) Upload(field string, files ...File) {
	b.t.Helper()
	paths := b.written(files)
	b.until(field+" takes files", func() (bool, error) {
		ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
		defer cancel()
		e, err := chromedp.Run(ctx, chromedp.Evaluate[*runtime.RemoteObject]("(() => {"+helpers+"\nreturn field("+quoted(field)+")})()"))
		if err != nil || e.ObjectID == "" {
			return false, err
		}
		_, err = chromedp.Call(ctx, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: paths, ObjectID: e.ObjectID})
		return err == nil, err
	})
	b.settle()
}

// Drop drags files from outside the browser onto an element.
func (b *Browser) Drop(onto string, files ...File) {
	b.t.Helper()
	x, y := b.spot(onto)
	data := &input.DragData{Items: []*input.DragDataItem{}, Files: b.written(files), DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: x, Y: y, Data: data})
			return err
		}))
	}
	b.settle()
}

func (b *Browser) written(files []File) (paths []string) {
	b.t.Helper()
	dir := b.t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			b.t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// Download clicks a link or button and returns the file when it is complete.
func (b *Browser) Download(what string) File {
	b.t.Helper()
	b.Click(what)
	var id, name string
	b.until(what+" is downloaded", func() (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for id, name = range b.got {
			delete(b.got, id)
			return true, nil
		}
		return false, nil
	})
	data, err := os.ReadFile(filepath.Join(b.downloads, id)) // #nosec G304 -- in the test's own folder
	if err != nil {
		b.t.Fatal(err)
	}
	return File{name, data}
}
