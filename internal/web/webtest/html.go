package webtest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

var (
	voidElements = []string{"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
	// A block inside a phrasing element or a p is an error: the browser would end the p.
	blocks = []string{"address", "article", "aside", "blockquote", "details", "dialog", "div", "dl", "fieldset", "figure", "footer",
		"form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul"}
	inlines     = []string{"a", "b", "button", "code", "em", "label", "p", "small", "span", "strong", "summary", "time"}
	interactive = []string{"a", "button", "details", "input", "label", "select", "textarea"}
)

// CheckHTML returns the faults of a page that a browser would silently repair in its
// own way: elements that are not closed in order or not allowed where they are
// (https://html.spec.whatwg.org/multipage/), duplicate ids, references to missing ids,
// inline scripts and styles, and anything that the content security policy would
// refuse.
func CheckHTML(page string) (faults []string) {
	c := checker{ids: map[string]bool{}}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				c.fault("%v", z.Err())
			}
			c.end()
			return c.faults
		case html.StartTagToken, html.SelfClosingTagToken:
			c.open(z.Token())
		case html.EndTagToken:
			c.close(z.Token().Data)
		}
	}
}

type checker struct {
	faults []string
	stack  []string
	ids    map[string]bool
	wanted []string // ids that attributes refer to
	h1     int
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *checker) open(t html.Token) {
	seen := map[string]string{}
	for _, a := range t.Attr {
		if _, twice := seen[a.Key]; twice {
			c.fault("<%s> has the attribute %s twice", t.Data, a.Key)
		}
		seen[a.Key] = a.Val
		switch {
		case a.Key == "id" && (a.Val == "" || strings.ContainsAny(a.Val, " \t\n")):
			c.fault("<%s> has the id %q", t.Data, a.Val)
		case a.Key == "id" && c.ids[a.Val]:
			c.fault("the id %q occurs twice", a.Val)
		case a.Key == "id":
			c.ids[a.Val] = true
		case slices.Contains([]string{"for", "aria-describedby", "aria-labelledby", "aria-controls", "form", "list"}, a.Key):
			c.wanted = append(c.wanted, strings.Fields(a.Val)...)
		case a.Key == "href" && strings.HasPrefix(a.Val, "#") && len(a.Val) > 1:
			c.wanted = append(c.wanted, a.Val[1:])
		case a.Key == "style" || strings.HasPrefix(a.Key, "on") && !strings.HasPrefix(a.Key, "one"):
			c.fault("<%s> has %s, which the content security policy refuses", t.Data, a.Key)
		case strings.Contains(a.Val, "ZgotmplZ"):
			c.fault("<%s> has a value in %s that the template refused", t.Data, a.Key)
		}
	}
	if _, alt := seen["alt"]; t.Data == "img" && !alt {
		c.fault("<img> has no alt")
	}
	if t.Data == "script" && seen["src"] == "" || t.Data == "style" {
		c.fault("<%s> is inline, which the content security policy refuses", t.Data)
	}
	if t.Data == "input" && strings.Contains(seen["name"], "password") && (seen["type"] != "password" || !strings.HasSuffix(seen["autocomplete"], "-password")) {
		c.fault("the field %s shows its password, or does not tell a password manager which one it is", seen["name"])
	}
	if t.Data == "h1" {
		c.h1++
	}
	c.place(t.Data, seen)
	if !slices.Contains(voidElements, t.Data) && t.Type != html.SelfClosingTagToken {
		c.stack = append(c.stack, t.Data)
	}
}

// place checks whether an element is allowed at its position.
func (c *checker) place(name string, attributes map[string]string) {
	if len(c.stack) == 0 {
		return
	}
	parent := c.stack[len(c.stack)-1]
	if slices.Contains(blocks, name) && slices.Contains(inlines, parent) && (parent != "a" && parent != "summary") {
		c.fault("<%s> is inside <%s>", name, parent)
	}
	if parent == "ul" || parent == "ol" {
		if name != "li" && name != "template" {
			c.fault("<%s> is inside <%s>", name, parent)
		}
	}
	if name == "li" && parent != "ul" && parent != "ol" {
		c.fault("<li> is inside <%s>", parent)
	}
	if name == "form" && slices.Contains(c.stack, "form") {
		c.fault("<form> is inside <form>")
	}
	if slices.Contains(interactive, name) && attributes["type"] != "hidden" && (slices.Contains(c.stack, "a") || slices.Contains(c.stack, "button")) {
		c.fault("<%s> is inside a link or a button", name)
	}
}

func (c *checker) close(name string) {
	if slices.Contains(voidElements, name) {
		c.fault("</%s>, which has no end tag", name)
		return
	}
	if len(c.stack) == 0 || c.stack[len(c.stack)-1] != name {
		c.fault("</%s> closes %v", name, c.stack)
		return
	}
	c.stack = c.stack[:len(c.stack)-1]
}

func (c *checker) end() {
	if len(c.stack) > 0 {
		c.fault("%v are not closed", c.stack)
	}
	if c.h1 != 1 {
		c.fault("it has %d h1", c.h1)
	}
	for _, id := range c.wanted {
		if !c.ids[id] {
			c.fault("no element has the id %q that the page refers to", id)
		}
	}
}
