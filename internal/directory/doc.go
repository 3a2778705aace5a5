// Package directory knows patients, portal users and the links between them: it
// imports them from CSV and FHIR, says who is in a message's audience and why,
// and finds portal users for a recipient picker.
//
// # Groups
//
// A link counts on the days from its first to its last, both included; no date
// is open. On such a day
//
//   - active_patients are the active portal users linked to an active patient,
//   - discharged_patients those linked to a discharged one,
//   - all_portal_users are all active portal users, linked or not.
//
// The dead get no mail and the bereaved no cheerful one: through a self link a
// deceased patient brings no one into a group (nor into all_portal_users, if
// nothing but such links is in force), and for its representatives it counts as
// discharged. A portal user who was chosen by id is always in, also with an
// inactive account: the delivery waits in the inbox, and no alert goes out.
//
// One function, classify, holds these rules; [Audience], [Preview] and [Exists]
// all go through it, so that they can't disagree.
//
// # FHIR
//
// A folder of FHIR may hold a whole export or what has changed since the last. What
// each resource said is remembered (the tables app.fhir_…), and an import works out
// what the directory says of the patients and representatives in the folder from all
// that is known of them. An export in parts, in order, leaves the same as the whole.
// Where it is not clear who may be written to, the import is a [Refused]; what is
// merely imperfect is imported, and named in [Summary].Warnings. ADRs 41 and 42 say
// which is which.
//
// # Order and durability
//
// An audience is in ascending order of portal user number. An import is one
// transaction: it happens whole or not at all, and what its caller adds to that
// transaction (an outbox row) happens with it. Nothing is ever deleted, so a
// number once given stands for the same id for good.
//
// # Concurrency
//
// Everything here may be called concurrently, each call with a transaction of its
// own. Imports wait for one another, by a lock in the database, which a process that
// stands still loses (ADR 49).
package directory
