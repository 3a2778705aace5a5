// Package up runs a whole system over one data folder: a NATS server with
// JetStream in this process, a private Postgres, and the keys.
//
// One process at a time owns a folder, by a lock that the kernel drops when the
// process ends, however it ends. While the owner runs, run.json in the folder
// says how others reach it; it holds credentials and is readable by its owner
// alone. This package deletes nothing in the folder, and does not replace a lost part
// until an operator gives it up ([Recover]).
//
//	data/
//	  folder.json       what the folder is
//	  lock              held by the owner
//	  run.json          how to reach what the owner runs
//	  postgres/ nats/   the two stores
//	  content/          encrypted content, content.key its key
package up
