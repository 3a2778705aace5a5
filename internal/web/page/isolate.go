package page

import (
	"html/template"
	"strings"
	"text/template/parse"

	"postern/internal/text/language"
)

// Names, subjects and reasons can be in any script. Right-to-left text changes the
// order of the words around it unless it is isolated, and on a page in Arabic so does
// left-to-right text. So every value that a template prints as text goes through isolate,
// which puts text of the other direction into a <bdi>.
// Pages need not do this themselves.
//
// A value that begins an element with dir="auto" is unchanged: the element takes its
// direction from the value, and browsers ignore the content of a <bdi> for that.

// isolate returns a value as it is printed as text on a page in a language.
func isolate(l language.Language, value any) any {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case *string:
		if v != nil {
			text = *v
		}
	}
	if !l.Mixes(text) {
		return value
	}
	return l.Isolate(text)
}

// isolateAll adds a call of isolate to every value that the templates print as text.
// Values in a tag, or in an element that can't contain elements, are unchanged.
func isolateAll(set *template.Template) {
	for _, t := range set.Templates() {
		if t.Tree != nil && t.Tree.Root != nil {
			(&isolator{}).list(t.Tree.Root)
		}
	}
}

// isolator walks a template in the order of its text. Each branch begins and ends in
// the same context, which html/template requires.
type isolator struct {
	inTag bool
	tag   string // the last tag, or the part of it read so far
	plain string // the text-only element that the walk is in, "" for none
	begun bool   // there is content after the tag
}

// directed reports whether the next value sets the direction of its element.
func (i *isolator) directed() bool { return !i.begun && strings.Contains(i.tag, `dir="auto"`) }

// plainElements can't contain elements.
var plainElements = []string{"option", "script", "style", "textarea", "title"}

func (i *isolator) list(nodes *parse.ListNode) {
	if nodes == nil {
		return
	}
	for _, node := range nodes.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			i.text(string(n.Text))
		case *parse.ActionNode:
			directed := i.directed()
			if !i.inTag && len(n.Pipe.Decl) == 0 {
				i.begun = true
			}
			if !i.inTag && i.plain == "" && len(n.Pipe.Decl) == 0 && !directed {
				call := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos}
				call.Args = []parse.Node{parse.NewIdentifier("isolate").SetPos(n.Pos)}
				n.Pipe.Cmds = append(n.Pipe.Cmds, call)
			}
		case *parse.IfNode:
			i.branches(n.List, n.ElseList)
		case *parse.RangeNode:
			i.begun = true // by the previous iteration
			i.branches(n.List, n.ElseList)
		case *parse.WithNode:
			i.branches(n.List, n.ElseList)
		case *parse.TemplateNode:
			i.begun = true
		}
	}
}

// branches walks two branches of a template, of which one is printed.
func (i *isolator) branches(one, other *parse.ListNode) {
	before := *i
	i.list(one)
	after := *i
	*i = before
	i.list(other)
	i.begun = i.begun || after.begun || after.tag != before.tag
}

// text tracks where tags begin and end.
func (i *isolator) text(text string) {
	for text != "" {
		if i.inTag {
			tag, rest, ended := strings.Cut(text, ">")
			i.tag += tag
			i.inTag, i.begun, text = !ended, false, rest
			continue
		}
		between, rest, begins := strings.Cut(text, "<")
		i.begun = i.begun || strings.TrimSpace(between) != ""
		if !begins {
			return
		}
		i.inTag, i.tag, text = true, "", rest
		for _, name := range plainElements {
			switch {
			case strings.HasPrefix(rest, name) && !strings.HasPrefix(rest[len(name):], "-"):
				i.plain = name
			case strings.HasPrefix(rest, "/"+name):
				i.plain = ""
			}
		}
	}
}
