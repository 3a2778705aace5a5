// Package reports takes what SendGrid reports of the alerts that it was handed
// and puts it on the record, under the delivery that each report speaks of.
//
// A post is signed over its bytes; whoever has the signature checked and the
// bytes read is told by [Config].Read, so that this package knows nothing of
// SendGrid's form. SendGrid posts again, whole, what it got no 2xx for: a post is
// taken once all that can be used of it is on the record, or not at all. Each event of a
// post stands alone: what is odd about one is counted and costs no other.
//
// No address gets further than here. A report that the address is dead is held
// against the directory now, while the address is at hand; the record then says
// which portal users' address it was, and at which of its versions.
package reports
