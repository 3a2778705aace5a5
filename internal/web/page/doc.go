// Package page is the frame of every page: the check of permissions, rendering, failure
// pages, and the headers that keep a browser safe.
//
// A package of pages passes its [Route]s to [Renderer.Mount]. A route names the actions
// that a reader needs. Its handler answers the request, or returns an error, which is
// rendered in one place. A page is a [View]: a template of its [Set], its title and
// its data.
//
//	//go:embed *.html
//	var files embed.FS
//	var set = page.Templates(files)
//
//	func (p *Pages) list(w http.ResponseWriter, r *http.Request) error {
//		…
//		return p.Render(w, r, set, page.View{Template: "list.html", Title: "Messages", Section: "messages", Data: data})
//	}
//
// # Templates
//
// Each file of a set defines "main", and is rendered within the layout of base.html.
// A file shared.html holds definitions for all of them.
// The dot is a [Frame]: .Data is the data of the page, .L the clinic's labels, and .May
// reports whether the reader may do an action. "parts.html" has the parts that all pages
// use: error-summary, error, hint, notice, pagination, empty.
// [Renderer.Fragment] renders one other definition of a file without the layout, for htmx.
//
// A title never names a patient, a portal user or a message, because browsers keep titles
// in their history.
//
// # Languages
//
// A page is in the language of its reader: see package language. In a template, a text is
// {{t "Your messages"}}, with values {{t "From {sender}" "sender" .From}}, and for a number
// {{tn .Count "{n} document" "{n} documents"}}; ts and tsn are for texts that only staff see.
// In Go code, titles, errors of forms and notices are plain English: they are translated
// when they are shown. A text with values is made by [T], that of an error by [Say].
//
// # Size
//
// The frame is one package because its parts need each other: a failure is rendered within
// the frame, the frame has the notices and the language, and both are read by the templates.
//
// # Forms
//
// A refused form is rendered again with status 422, the typed values, and [Errors]. The
// layout lists the errors at the top, each linked to its field: the Field of an error is
// the id of the input. An accepted form is answered by [Renderer.Redirect].
package page
