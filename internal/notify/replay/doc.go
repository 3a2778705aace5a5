// Package replay repeats alerts that failed, or whose answer was never learned:
// failures become a plan, a plan becomes attempts.
//
// A plan is a frozen set: who fails after it was made is not in it, and who was
// accepted, opened the message or was repeated by somebody else before their turn
// is left out. Nothing goes out before it is started, and each start, pause and
// end is an event; record.replays is what they come to. An [Executor] takes the alerts of
// what runs there, part by part; the notify worker sends them: see notify.Worker.RunReplays.
//
//	Plan ── set committed ── replay.planned ── replay.started ── attempts ── replay.completed
//	   crash here: a set      crash here: a plan that anybody may start
//	   that nobody knows of
package replay
