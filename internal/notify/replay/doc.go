// Package replay repeats alerts that failed or are unknown: a plan selects the alerts,
// and starting the plan makes the attempts.
//
// A plan is a frozen set: an alert that fails later is not in it. Before each attempt,
// recipients are left out whose alert was accepted since, who have opened the message,
// or whose alert another replay repeats. No alert is sent before the plan is started.
// Each start, pause and end is an event; record.replays has the resulting status. An
// [Executor] takes the alerts of running replays, part by part; the notify worker sends
// them: see notify.Worker.RunReplays.
//
//	Plan ── set committed ── replay.planned ── replay.started ── attempts ── replay.completed
//	   crash here: an unused  crash here: a plan that can be started
//	   set
package replay
