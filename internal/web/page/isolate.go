package page

import (
	"html/template"
	"strings"
	"text/template/parse"
	"unicode"
)

// Names, subjects and reasons come in any script. Text that is written from right to left
// changes the order of the words around it, unless it stands apart from them. So every
// value that a template prints as text is given to isolate, which puts it into a <bdi>
// where it holds such a script: no page has to do so itself.
//
// A value that begins an element with dir="auto" stays as it is: the element takes its
// direction from the value, and would not look into a <bdi>.

// isolate gives a value as it is printed as text.
func isolate(value any) any {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case *string:
		if v != nil {
			text = *v
		}
	}
	if !strings.ContainsFunc(text, rightToLeft) {
		return value
	}
	return template.HTML("<bdi>" + template.HTMLEscapeString(text) + "</bdi>") // #nosec G203 -- escaped
}

// rightToLeft says whether a letter belongs to a script that is written so.
func rightToLeft(r rune) bool {
	return r >= 0x590 && unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko,
		unicode.Samaritan, unicode.Mandaic, unicode.Adlam, unicode.Hanifi_Rohingya, unicode.Mende_Kikakui)
}

// isolateAll has every value that the templates print as text go through isolate. What
// stands in a tag, or in an element that may hold no other, stays as it is.
func isolateAll(set *template.Template) {
	for _, t := range set.Templates() {
		if t.Tree != nil && t.Tree.Root != nil {
			(&isolator{}).list(t.Tree.Root)
		}
	}
}

// isolator goes through a template in the order of its text. Each branch begins and ends
// in the same context, which html/template demands.
type isolator struct {
	inTag bool
	tag   string // the tag that was read last, or as much of it as was read
	plain string // the element around that may hold text alone, "" for none
	begun bool   // something stands behind the tag
}

// directed says whether what comes next gives an element its direction.
func (i *isolator) directed() bool { return !i.begun && strings.Contains(i.tag, `dir="auto"`) }

// plainElements hold no elements.
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
			i.begun = true // by the round before
			i.branches(n.List, n.ElseList)
		case *parse.WithNode:
			i.branches(n.List, n.ElseList)
		case *parse.TemplateNode:
			i.begun = true
		}
	}
}

// branches goes through two parts of a template of which one is printed.
func (i *isolator) branches(one, other *parse.ListNode) {
	before := *i
	i.list(one)
	after := *i
	*i = before
	i.list(other)
	i.begun = i.begun || after.begun || after.tag != before.tag
}

// text follows where tags begin and end.
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
