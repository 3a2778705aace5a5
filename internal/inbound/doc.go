// Package inbound decides what is taken of a request before anything else is known
// about it: how much of its body, for how long, in which media type, and which
// address it counts under.
//
// [NewServer] makes the server of every process. Its limits hold for whatever is
// mounted below it, so that no route is outside:
//
//   - A request's body may have [Small] bytes. A route that takes more says so in its
//     row of the route table, as a [Body], and [Open] is called with that only after
//     authentication, permission and the check of the origin. A route that never reads
//     the body reads none of it.
//   - A form in multipart/form-data is read part by part, where the route takes one.
//     Nothing is written to a temporary file.
//   - A body comes within its time, without long pauses.
//   - The first [Small] bytes of each body are free. What a body holds beyond them comes
//     out of one of two budgets of memory, one for strangers and one for those who are
//     signed in. Where a budget is used up, a body that takes long is broken off for one
//     that waits.
//   - Content-Type is brought to one form (RFC 9110, 8.3.1) before a handler sees it.
//   - [Client] is the address of the client, as told by the proxies that are trusted.
package inbound
