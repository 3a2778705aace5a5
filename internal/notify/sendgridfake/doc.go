// Package sendgridfake stands in for SendGrid: in tests, in benchmarks and in
// the demo, where nothing must leave the machine.
//
// A [Fake] is an http.Handler of POST /v3/mail/send. It reads every request in
// full, refuses what SendGrid refuses in SendGrid's words, and keeps what it
// accepted, compactly, for [Fake.Accepted] and the other queries.
//
// Faults are scripted: [Fake.Queue] gives steps to the requests that come next,
// [Fake.Script] decides by request, [Mix] draws at random from a seed. A step
// that hangs does so until its channel is closed, the client gives up or the
// fake is closed; nothing here sleeps.
//
// A [Webhook] reports back: it signs and posts events as SendGrid does, and can
// repeat and shuffle them. [Fake.Mailbox] shows what was caught, as a page.
//
// All methods of a Fake are safe for concurrent use. It keeps everything in
// memory and loses it when the process ends. For a test:
//
//	fake := sendgridfake.New(sendgridfake.Config{})
//	server := httptest.NewServer(fake)
//	defer server.Close()
//	defer fake.Close() // first: it lets go of requests that hang
//	fake.Queue(sendgridfake.RateLimit(2*time.Second), sendgridfake.ResetAfter())
//	…
//	err := fake.WaitFor(ctx, 1000)
package sendgridfake
