// Package inbound limits every request before it reaches a handler: the size of its body,
// the time to read it, and its media type. It also determines the client's address.
//
// [NewServer] makes the server of every process. Its limits apply to every route:
//
//   - A request's body may have [DefaultBytes] bytes. A route that accepts more has a [Body] in
//     its row of the route table. [Open] is called with that [Body] only after
//     authentication, authorisation and the check of the origin. If a handler does not
//     read the body, none of it is read.
//   - A form in multipart/form-data is read part by part, if the route accepts one.
//     Nothing is written to a temporary file.
//   - A body must arrive within its timeout, without long pauses.
//   - The first [DefaultBytes] bytes of each body are free. Memory for the rest is reserved from
//     one of two budgets, one for unauthenticated clients and one for authenticated ones.
//     If a budget is used up, a slow body is aborted for one that waits.
//   - There are at most two thousand connections. When there are more, one that waits for its client
//     is closed, of the network that has the most.
//   - Content-Type is normalised (RFC 9110, 8.3.1) before a handler sees it.
//   - [Client] is the address of the client, as reported by trusted proxies.
package inbound
