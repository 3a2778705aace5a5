package cli

import (
	"strings"
	"testing"
)

func TestWrongUseOfWhatOperatorsDo(t *testing.T) {
	p := newPostern(t)
	const id = "0197aaaa-0000-7000-8000-000000000001"
	for _, c := range []struct {
		args string
		says string
	}{
		{"parked", "needs a verb"},
		{"parked show", "arg"},
		{"parked show seventeen", "postern parked list"},
		{"parked retry", "--all-of"},
		{"parked retry " + id + " --all-of message.sent", "not both"},
		{"parked discard " + id, "--reason"},
		{"parked discard --reason x", "arg"},
		{"alerting", "needs a verb"},
		{"alerting pause", "--reason"},
		{"alerting resume --reason x --message seventeen", "--message"},
	} {
		status, _, errs := p.run("", strings.Fields(c.args)...)
		if status != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%s: status %d, %q", c.args, status, errs)
		}
	}
}

// What operators do, on the embedded system while it is not running.
func TestWhatOperatorsDo(t *testing.T) {
	p := newSystem(t)
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"parked", "list"}, exitDone, "nothing is parked"},
		{[]string{"parked", "list", "--json"}, exitDone, "[]"},
		{[]string{"parked", "retry", "--all-of", "message.sent", "--json"}, exitDone, `{"retried":0}`},
		{[]string{"parked", "show", "0197aaaa-0000-7000-8000-000000000001"}, exitFailed, "no parked event with this ID"},
		{[]string{"alerting", "pause", "--reason", "SendGrid reports trouble"}, exitDone, "the alerts of all messages wait"},
		{[]string{"alerting", "status", "--json"}, exitDone, `"paused":true`},
		{[]string{"alerting", "resume", "--reason", "over"}, exitDone, "alerts go out"},
		{[]string{"alerting", "pause", "--reason", " "}, exitUsage, "--reason"},
		{[]string{"rebuild", "--check"}, exitDone, "pauses"},
	} {
		status, out, errs := p.run("", c.args...)
		if status != c.status || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: status %d, %s%s", c.args, status, out, errs)
		}
	}
}
