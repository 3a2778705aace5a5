// Package sendgridfake is a stand-in for SendGrid in tests, in benchmarks and in the
// demo, where no e-mail must leave the machine.
//
// A [Fake] is an http.Handler for POST /v3/mail/send. It reads every request completely,
// refuses the requests that SendGrid refuses, with SendGrid's texts, and stores accepted
// mails compactly for [Fake.Accepted] and the other queries.
//
// Faults are scripted: [Fake.Queue] sets steps for the next requests, [Fake.Script]
// chooses a step for each request, [Mix] draws steps at random from a seed. A step that
// hangs ends when its channel is closed, the client gives up or the fake is closed. The
// fake never sleeps to simulate a delay.
//
// A [Webhook] sends reports: it signs and posts events as SendGrid does, and can repeat
// and shuffle them. [Fake.Mailbox] shows the accepted mails on a page.
//
// All methods of a Fake are safe for concurrent use. It stores everything in memory only.
// For a test:
//
//	fake := sendgridfake.New(sendgridfake.Config{})
//	server := httptest.NewServer(fake)
//	defer server.Close()
//	defer fake.Close() // runs first: it ends requests that hang
//	fake.Queue(sendgridfake.RateLimit(2*time.Second), sendgridfake.ResetAfter())
//	…
//	err := fake.WaitFor(ctx, 1000)
//
// # Size
//
// The size of the package is that of SendGrid's API: its rules for requests are checked
// in full, because a stand-in that accepts more than SendGrid hides faults.
package sendgridfake
