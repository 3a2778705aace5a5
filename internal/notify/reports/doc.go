// Package reports receives SendGrid's reports about alerts and records them, each with
// the delivery that it refers to.
//
// The signature covers the bytes of a POST. [Config].Read checks the signature and
// decodes the body, so that this package does not depend on SendGrid's format. SendGrid
// repeats a whole POST until it gets a 2xx, so a POST is accepted only after all its
// usable reports are recorded. Each report is handled by itself: an invalid one is
// counted and does not affect the others.
//
// Addresses don't leave this package. A report of an address that does not work is
// compared with the directory at once, while the address is known. The record then has
// the portal users with that address, and the address's version.
package reports
