// Package query reads the record for people: events selected by message, portal user,
// patient, type, actor and time, and single events with all their data. It reads the
// recorder's copy in Postgres, and never the stream.
//
// # Reading is recorded
//
// Each page of a list, each single event and each export is recorded as a record.read event,
// with the reader's name, before the answer. If that event can't be published, nothing is
// shown. [Reader] does this, so that no caller can forget it.
//
// # Events about a portal user
//
// A chunk has a thousand deliveries, and its events have no portal users in their headers.
// So the events about a portal user are the events of the chunks with their deliveries, the
// sending, cancelling and recalling of those messages, and the portal user's own actions:
// opening, downloading, signing in, and those about their account: invited, password set, address
// changed. The events about a patient are the same, for deliveries
// on that patient's account and actions on those deliveries.
//
// A Reader is safe for concurrent use.
//
// # Size
//
// Lists, disclosures and exports are one package, because they select events and deliveries by
// the same filter, and each reading is recorded in the same way.
package query
