package api

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

// markdownHTML writes the part of Markdown that the guide uses as HTML: headings, paragraphs,
// numbered lists, blocks of code, and code in a line.
func markdownHTML(text string) template.HTML {
	var b strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		switch {
		case strings.HasPrefix(block, "## "):
			fmt.Fprintf(&b, "<h2>%s</h2>\n", inlineHTML(strings.TrimPrefix(block, "## ")))
		case strings.HasPrefix(block, "```"):
			fmt.Fprintf(&b, "<pre tabindex=\"0\"><code>%s</code></pre>\n", html.EscapeString(strings.Trim(block, "`\n")))
		case strings.HasPrefix(block, "1. "):
			b.WriteString("<ol>\n")
			for line := range strings.Lines(block) {
				_, item, _ := strings.Cut(line, ". ")
				fmt.Fprintf(&b, "<li>%s</li>\n", inlineHTML(strings.TrimSpace(item)))
			}
			b.WriteString("</ol>\n")
		default:
			fmt.Fprintf(&b, "<p>%s</p>\n", inlineHTML(block))
		}
	}
	return template.HTML(b.String()) // #nosec G203 -- the text is ours, and each part is escaped
}

var inlineCode = regexp.MustCompile("`([^`]+)`")

// inlineHTML writes a line with code between backticks as HTML.
func inlineHTML(text string) template.HTML {
	return template.HTML(inlineCode.ReplaceAllString(html.EscapeString(text), "<code>$1</code>")) // #nosec G203 -- it is escaped
}
