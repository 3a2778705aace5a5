// Package up runs a complete system over one data folder: a NATS server with JetStream
// in this process, a private Postgres, and the keys.
//
// One process at a time owns a folder, through a lock that the kernel releases when the
// process ends, even if it is killed. While the owner runs, run.json in the folder has
// the addresses for other processes. It holds credentials, and only the file's owner may
// read it. This package deletes nothing in the folder, and does not replace a lost part
// until an operator gives it up ([Recover]).
//
//	data/
//	  folder.json       the state of the folder
//	  lock              held by the owner
//	  run.json          the addresses of the running system
//	  postgres/ nats/   the two stores
//	  content/          encrypted content, content.key its key
//
// # Size
//
// The folder, the stores, what was lost and the recovery are one package, because each
// start decides from all of them together whether it may continue.
package up
