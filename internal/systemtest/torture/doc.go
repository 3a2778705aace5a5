// Package torture tests the system under failures: it causes every failure in the
// design and checks the guarantees afterwards. It contains only tests.
//
// # Killing processes
//
// TestTorture runs the real binaries (api, fanout-worker, notify-worker, recorder,
// with a NATS and a Postgres, or `postern up` alone). It sends a message to all portal
// users (a blast), and kills one of the processes with SIGKILL at a moment of the
// blast. Then it starts the process again, and the blast must finish:
//
//	moment of a blast ── kill -9 ── start again ── settled ── verdict
//
// A moment is a state of the blast, never a time: a number of events on the record, of
// readable deliveries, or of alerts that SendGrid took. Moments are drawn from a seed,
// which every failure prints; -torture.seed repeats it.
//
// # Crashing at each commit point
//
// TestCrashAtEachCommitPoint runs the same parts in this process and stops one of them
// for good at a commit point, before or after the step is persisted. The next instance
// of that part must finish the message.
//
// # Lost answers
//
// TestEachAnswerLost is the table {publish, commit, ack, SendGrid} × {not persisted,
// persisted}: the part survives and must recover with a retry.
//
// # Outages
//
// TestOutages stops SendGrid, Postgres and NATS in the middle of a blast, for some
// seconds, in the long form for a minute each. In TestSendGridOnItsWorstDay SendGrid
// fails in every possible way at once.
//
// # Crossings
//
// TestCrossings draws random sequences of actions by people, SendGrid, imports and
// crashes that happen at the same time. TestKeptCrossings repeats sequences that have
// failed. The check covers the whole sequence: see crossing.verdict.
//
// # The verdict
//
// All tests make the same checks: every portal user of the audience has exactly one
// delivery, and no other portal user has one; every alert was accepted once, or its
// state is unknown; no event is parked; the tables match the record; every event
// satisfies its schema.
//
// The short form runs with all other tests. The long form, `make torture`, kills each
// kind of process twenty times in blasts to 20,000 portal users. Except for outages,
// no test waits for a fixed time, and only the long form judges how long something
// took. A test ends the processes that it started, by process id; a watchdog does
// so if the test itself was killed.
package torture
