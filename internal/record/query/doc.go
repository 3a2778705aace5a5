// Package query reads the record for people: what stands on it, chosen by message,
// portal user, patient, type, actor and time, and each event whole. It reads the
// copy that the recorder keeps in Postgres and never the stream.
//
// # Reading is on the record
//
// Whoever reads the record is on it before they see anything: each page of a list,
// each event read whole and each export is a record.read, published before the
// answer. Where it can't be published nothing is read. A [Reader] sees to it, so that
// no caller can forget it.
//
// # What speaks of a portal user
//
// A chunk holds a thousand deliveries, and its events name nobody in their headers.
// So the events about a portal user are those of the chunks that their deliveries are
// in, the sending and taking back of those messages, and whatever they did themselves:
// open, download, sign in. Of a patient they are the same, for the deliveries that
// were made on that patient's account, and what was done with those.
//
// A Room is safe for concurrent use.
package query
