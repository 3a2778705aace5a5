// Package page is the frame of every page: who may see it, how it is rendered, what
// a failure looks like, and the headers that keep a browser safe.
//
// A package of pages gives its [Route]s to [Renderer.Mount]. A route names who may come;
// its handler gets the request and answers it, or returns an error, which is
// rendered in one place. A page is a [View]: a template of its [Set], its title and
// its data.
//
//	//go:embed *.html
//	var files embed.FS
//	var set = page.MustParse(files)
//
//	func (p *Pages) list(w http.ResponseWriter, r *http.Request) error {
//		…
//		return p.Render(w, r, set, page.View{Template: "list.html", Title: "Messages", Section: "messages", Data: data})
//	}
//
// # Templates
//
// Each file of a set defines "main", and is rendered within the layout of base.html;
// a file shared.html holds definitions for all of them.
// The dot is a [Frame]: what the page was given is in .Data, the clinic's words are
// in .L, and .May asks whether the reader may do an action. "parts.html" has what
// every page is made of: error-summary, error, hint, notice, pagination, empty.
// [Renderer.Fragment] renders one other definition of a file without the layout, for htmx.
//
// A title never names a patient, a portal user or a message: it stands in the
// history of the browser.
//
// # Forms
//
// A form that is refused is rendered again with status 422, what was typed, and
// [Errors], which the layout sums up on top, each linked to its field: the Field of
// an error is the id of the input. A form that was accepted answers [Renderer.Redirect].
package page
