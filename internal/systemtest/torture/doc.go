// Package torture breaks the system in every way that the design speaks of, and
// holds what is left to what was promised. There is no code here but tests.
//
// # Killing processes
//
// TestTorture runs the real binaries (api, fanout-worker, notify-worker, recorder,
// with a NATS and a Postgres, or `postern up` alone), sends a message to
// everybody, and kills one of the processes with SIGKILL at some moment of the
// blast. Then the process is started again and the blast has to come to its end:
//
//	moment of a blast ── kill -9 ── start again ── settled ── verdict
//
// A moment is a place that the blast has come to, never a time: so many events on
// the record, so many deliveries readable, so many alerts taken. Moments are drawn
// from a seed, which every failure names; -torture.seed gives it again.
//
// # Crashing at each commit point
//
// TestCrashAtEachCommitPoint runs the same parts in this process and stops one of
// them for ever at a named line: before what it does there has become lasting, or
// after. The next life of that part has to finish the message.
//
// # Answers that get lost
//
// TestEachAnswerLost is the table {publish, commit, ack, SendGrid} × {not
// persisted, persisted}: the part lives on, and has to find out by doing it again.
//
// # Outages
//
// TestOutages takes away SendGrid, Postgres and NATS in the middle of a blast, for
// some seconds, in the long form for a minute each. TestSendGridOnItsWorstDay has
// SendGrid fail in every way that it can, at once.
//
// # Crossings
//
// TestCrossings draws random sequences of what people, SendGrid, imports and crashes do
// at the same time, and TestKeptCrossings keeps the ones that failed. A sequence is
// judged by the whole of it: see crossing.verdict.
//
// # The verdict
//
// The same for all of them: every portal user of the audience has exactly one
// delivery, nobody else has one; every alert was accepted once, or is named as
// unknown; nothing is parked; the tables are what the record says; every event
// satisfies its schema.
//
// The short form runs with every other test. The long form, `make torture`, kills
// each kind of process twenty times in blasts of 20,000. But for outages, nothing
// waits for a time to pass: deadlines are there to end a test that will never end, and are
// generous. What a test started it also ends, by process id; a watchdog does so
// where the test itself was killed.
package torture
