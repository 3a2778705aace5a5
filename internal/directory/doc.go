// Package directory holds patients, portal users and the links between them. It
// imports them from CSV and FHIR, computes a message's audience with the reason for
// each recipient, and finds portal users for a recipient picker.
//
// # Groups
//
// A link counts from its first day to its last, both included. Without a date it is
// open on that side. On such a day
//
//   - active_patients are the active portal users linked to an active patient,
//   - discharged_patients those linked to a discharged one,
//   - all_portal_users are all active portal users, linked or not.
//
// Deceased patients get no messages, and their families none for active patients. A
// self link to a deceased patient puts its portal user in no group (not in
// all_portal_users either, if only such links are in force). For the patient's
// representatives, a deceased patient counts as discharged. A portal user chosen by
// id is always included, even with an inactive account: the delivery waits in the
// inbox, and no alert is sent.
//
// The function classify implements these rules. [Audience], [Preview] and [Exists]
// all use it, so they can't disagree.
//
// # FHIR
//
// A FHIR folder may hold a complete export or the changes since the last one. The
// content of each resource is stored (the tables app.fhir_…). An import computes the
// directory's rows for the patients and representatives in the folder from everything
// stored about them. Importing an export in parts, in order, has the same result as
// importing all of it at once. If it is not clear which portal users may be written
// to, the import fails with a [Refused]. Smaller defects are imported and listed in
// [Summary].Warnings. ADRs 41 and 42 define which is which.
//
// # Order and durability
//
// An audience is in ascending order of portal user number. An import is one
// transaction: it happens completely or not at all, together with the rows that its
// caller adds to that transaction (an outbox row). Nothing is ever deleted, so a
// number belongs to the same id forever.
//
// # Concurrency
//
// All functions may be called concurrently, each call with its own transaction.
// Imports wait for one another on a lock in the database. A process that hangs loses
// that lock (ADR 49).
package directory
