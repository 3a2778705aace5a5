package notify

import (
	"testing"

	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
)

// The worker and the plan of a replay use the same function of the database to decide who is
// alerted.
func TestTheDatabaseSaysWhoIsAlerted(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	const noAddress, dead = reasonNoAddress, "the e-mail address does not work"
	for _, c := range []struct{ arguments, want string }{
		{`'sent', true, 'a@x.test', NULL, false`, ""},
		{`'sending', true, 'a@x.test', NULL, false`, ""},
		{`'sent', true, '', NULL, false`, noAddress},
		{`'sent', true, 'a@x.test', '550 no such mailbox', false`, dead + ": SendGrid reported 550 no such mailbox"},
		{`'sent', true, 'a@x.test', '', false`, dead},
		{`'sent', false, '', '550', false`, "the account is inactive"},
		{`'sent', true, 'a@x.test', NULL, true`, "opted out of e-mails"},
		{`'sent', true, 'a@x.test', '550', true`, "opted out of e-mails"},
		{`'sent', true, '', NULL, true`, noAddress},
		{`'sent', false, 'a@x.test', NULL, true`, "the account is inactive"},
		{`'recalled', true, 'a@x.test', NULL, true`, "the message was recalled"},
		{`'sent', NULL, NULL, NULL, false`, "the directory has lost this portal user"},
		{`'recalled', NULL, NULL, NULL, false`, "the message was recalled"},
		{`'cancelled', false, '', '550', false`, reasonCancelled},
	} {
		p.says(t, `app.why_not_alerted(`+c.arguments+`)`, c.want)
	}
	for _, c := range []struct{ arguments, want string }{
		{`false, 'failed', 'refused', 1, 1, false`, ""},
		{`false, 'unknown', '', 3, 3, false`, ""},
		{`false, 'skipped', '` + events.SkippedAccepted + `', 2, 2, false`, ""},
		{`true, 'accepted', '', 2, 1, true`, events.LeftOutOpened},
		{`false, 'accepted', '', 2, 1, true`, events.LeftOutAccepted},
		{`false, 'failed', '', 1, 1, true`, events.LeftOutRepeated},
		{`false, 'failed', '', 2, 1, false`, events.LeftOutRepeated},
		{`false, 'skipped', 'no e-mail address', 1, 1, false`, events.LeftOutRepeated},
		{`false, 'pending', '', 0, 0, false`, events.LeftOutRepeated},
	} {
		p.says(t, `app.why_not_repeated(`+c.arguments+`)`, c.want)
	}
}

func (p *post) says(t *testing.T, call, want string) {
	t.Helper()
	var got string
	if err := p.admin.QueryRow(t.Context(), `SELECT `+call).Scan(&got); err != nil || got != want {
		t.Errorf("%s is %q, want %q, %v", call, got, want, err)
	}
}
