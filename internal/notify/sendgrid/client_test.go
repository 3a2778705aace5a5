package sendgrid_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
)

var attempt = uuid.MustParse("0190a8b5-7c1e-7f5e-9d8f-1b2c3d4e5f60")

func config(url string) sendgrid.Config {
	return sendgrid.Config{
		BaseURL: url, APIKey: "SG.test", From: "Clinic <alerts@clinic.example>",
		PublicURL: "https://portal.example/", Timeout: 20 * time.Second,
	}
}

func client(t *testing.T, c sendgrid.Config) *sendgrid.Client {
	t.Helper()
	got, err := sendgrid.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Close)
	return got
}

// fake starts a stand-in for SendGrid and makes a client for it.
func fake(t *testing.T, c sendgridfake.Config, change ...func(*sendgrid.Config)) (*sendgridfake.Fake, *sendgrid.Client) {
	t.Helper()
	f := sendgridfake.New(c)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Cleanup(f.Close)
	conf := config(server.URL)
	for _, f := range change {
		f(&conf)
	}
	return f, client(t, conf)
}

// people gives n recipients at positions 10, 11 and so on.
func people(n int) []sendgrid.Address {
	to := make([]sendgrid.Address, n)
	for i := range to {
		to[i] = sendgrid.Address{Position: 10 + i, Email: fmt.Sprintf("Person.%d@example.org", i)}
	}
	return to
}

// largeRequest gives recipients whose request exceeds the buffers between two sockets.
func largeRequest() []sendgrid.Address {
	to := people(1000)
	for i := range to {
		to[i].Email = strings.Repeat("a", 20_000) + to[i].Email
	}
	return to
}

func TestAcceptedAlertsArriveOnceEachWithAttemptAndPosition(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{APIKey: "SG.test"})
	to := people(1000)
	got := c.Send(t.Context(), attempt, to)
	if got.Kind != sendgrid.Accepted || got.Status != 202 || got.MessageID == "" {
		t.Fatalf("got %+v", got)
	}
	i := 0
	for m := range f.Accepted() {
		want := sendgridfake.Mail{To: to[i].Email, Attempt: attempt, Position: to[i].Position, MessageID: got.MessageID}
		if diff := cmp.Diff(want, m, cmpopts.IgnoreFields(m, "At", "Letter")); diff != "" {
			t.Fatalf("mail %d, wanted (-) and got (+):\n%s", i, diff)
		}
		i++
	}
	if i != len(to) {
		t.Errorf("%d mails for %d recipients", i, len(to))
	}
}

// broken gives an answer whose body is incomplete.
func broken(status int, body string) sendgridfake.Step {
	return sendgridfake.Step{Status: status, Header: http.Header{"Content-Length": {"9999"}}, Body: body}
}

func refusals(from, to int) string {
	var b strings.Builder
	b.WriteString(`{"errors":[`)
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"message":"Does not contain a valid address.","field":"personalizations.%d.to.0.email","help":"x"},`, i)
	}
	return b.String()
}

// TestEveryAnswerAndFault is the contract of Send: the result of each answer and each
// fault, and whether SendGrid took the mail.
func TestEveryAnswerAndFault(t *testing.T) {
	bad := func(i int) sendgrid.Refusal {
		return sendgrid.Refusal{Position: 10 + i, Reason: "Does not contain a valid address."}
	}
	for _, tt := range []struct {
		name  string
		step  sendgridfake.Step
		want  sendgrid.Result
		taken bool
	}{
		{"accepted", sendgridfake.Step{}, sendgrid.Result{Kind: sendgrid.Accepted, Status: 202}, true},
		{"accepted, body broken", broken(202, "x"), sendgrid.Result{Kind: sendgrid.Accepted, Status: 202}, true},
		{"200 is unknown", sendgridfake.Fail(200), sendgrid.Result{Kind: sendgrid.Unknown, Status: 200}, false},
		{"400 for the whole request", sendgridfake.Fail(400), sendgrid.Result{Kind: sendgrid.Refused, Status: 400}, false},
		{"400 naming two", sendgridfake.Step{Status: 400, Body: strings.TrimSuffix(refusals(1, 3), ",") + "]}"},
			sendgrid.Result{Kind: sendgrid.Refused, Status: 400, Refusals: []sendgrid.Refusal{bad(1), bad(2)}}, false},
		{"400 naming a missing recipient", sendgridfake.Step{Status: 400, Body: strings.TrimSuffix(refusals(7, 8), ",") + "]}"},
			sendgrid.Result{Kind: sendgrid.Refused, Status: 400}, false},
		{"400, incomplete before a reason", broken(400, `{"errors":[{"mess`), sendgrid.Result{Kind: sendgrid.Unavailable, Status: 400}, false},
		{"400, incomplete after a reason", broken(400, refusals(2, 3)), sendgrid.Result{Kind: sendgrid.Refused, Status: 400, Refusals: []sendgrid.Refusal{bad(2)}}, false},
		{"400 without JSON", sendgridfake.Step{Status: 400, Body: "<html>"}, sendgrid.Result{Kind: sendgrid.Refused, Status: 400}, false},
		{"401", sendgridfake.Fail(401), sendgrid.Result{Kind: sendgrid.Refused, Status: 401}, false},
		{"403", sendgridfake.Fail(403), sendgrid.Result{Kind: sendgrid.Refused, Status: 403}, false},
		{"404", sendgridfake.Fail(404), sendgrid.Result{Kind: sendgrid.Refused, Status: 404}, false},
		{"408", sendgridfake.Fail(408), sendgrid.Result{Kind: sendgrid.Unavailable, Status: 408}, false},
		{"413", sendgridfake.Fail(413), sendgrid.Result{Kind: sendgrid.Refused, Status: 413}, false},
		{"500", sendgridfake.Fail(500), sendgrid.Result{Kind: sendgrid.Unavailable, Status: 500}, false},
		{"502", sendgridfake.Fail(502), sendgrid.Result{Kind: sendgrid.Unavailable, Status: 502}, false},
		{"503", sendgridfake.Fail(503), sendgrid.Result{Kind: sendgrid.Unavailable, Status: 503}, false},
		{"504, not taken", sendgridfake.Fail(504), sendgrid.Result{Kind: sendgrid.Unknown, Status: 504}, false},
		{"504, taken", sendgridfake.Step{Take: true, Status: 504}, sendgrid.Result{Kind: sendgrid.Unknown, Status: 504}, true},
		{"reset after the body, not taken", sendgridfake.ResetBefore(), sendgrid.Result{Kind: sendgrid.Unknown}, false},
		{"reset after the body, taken", sendgridfake.ResetAfter(), sendgrid.Result{Kind: sendgrid.Unknown}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, c := fake(t, sendgridfake.Config{})
			f.Queue(tt.step)
			got := c.Send(t.Context(), attempt, people(3))
			if (got.MessageID != "") != (got.Kind == sendgrid.Accepted) || (got.Reason == "") != (got.Kind == sendgrid.Accepted) {
				t.Errorf("only an accepted request has a message id, and only another has a reason: %+v", got)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(got, "MessageID", "Reason")); diff != "" {
				t.Errorf("wanted (-) and got (+):\n%s", diff)
			}
			if taken := f.Count() > 0; taken != tt.taken {
				t.Errorf("taken: %v", taken)
			}
			if len(f.Requests()) != 1 {
				t.Errorf("%d requests", len(f.Requests()))
			}
			withoutAddresses(t, got)
		})
	}
}

func withoutAddresses(t *testing.T, got sendgrid.Result) {
	t.Helper()
	if text := strings.ToLower(fmt.Sprintf("%+v", got)); strings.Contains(text, "person.") {
		t.Errorf("an address is in %s", text)
	}
}

func TestBadAddressesAreNamedByPositionWithoutTheAddress(t *testing.T) {
	_, c := fake(t, sendgridfake.Config{Refuse: func(a string) string {
		if a == "Person.2@example.org" {
			return "PERSON.2 <person.2@example.org> is on a list"
		}
		return ""
	}})
	to := people(4)
	to[0].Email = "no address"
	got := c.Send(t.Context(), attempt, to)
	want := []sendgrid.Refusal{
		{Position: 10, Reason: "Does not contain a valid address."},
		{Position: 12, Reason: "*** <***@example.org> is on a list"},
	}
	if diff := cmp.Diff(want, got.Refusals); diff != "" || got.Kind != sendgrid.Refused {
		t.Errorf("%v; wanted (-) and got (+):\n%s", got.Kind, diff)
	}
	withoutAddresses(t, got)
}

func TestALongRefusalIsReadOnlyInPart(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{})
	f.Queue(sendgridfake.Step{Status: 400, Body: refusals(0, 1000) + strings.Repeat(" ", 8<<20)})
	got := c.Send(t.Context(), attempt, people(1000))
	if n := len(got.Refusals); got.Kind != sendgrid.Refused || n < 100 || n == 1000 {
		t.Errorf("%v with %d refusals", got.Kind, n)
	}
}

func TestRateLimitEndsAtSendGridsTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ahead := now.Add(time.Hour) // SendGrid's clock
	for _, tt := range []struct {
		name   string
		header map[string]string
		want   time.Duration
	}{
		{"reset", map[string]string{"X-RateLimit-Reset": fmt.Sprint(ahead.Unix() + 7)}, 7 * time.Second},
		{"reset before now", map[string]string{"X-RateLimit-Reset": fmt.Sprint(ahead.Unix() - 7)}, time.Second},
		{"reset far off", map[string]string{"X-RateLimit-Reset": fmt.Sprint(ahead.Unix() + 1e9)}, 15 * time.Minute},
		{"reset beyond time", map[string]string{"X-RateLimit-Reset": "9223372036854775807"}, 15 * time.Minute},
		{"seconds", map[string]string{"Retry-After": "30"}, 30 * time.Second},
		{"date", map[string]string{"Retry-After": ahead.Add(time.Minute).Format(http.TimeFormat)}, time.Minute},
		{"nothing", nil, time.Minute},
		{"nonsense", map[string]string{"X-RateLimit-Reset": "soon", "Retry-After": "later"}, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, c := fake(t, sendgridfake.Config{Now: func() time.Time { return ahead }},
				func(c *sendgrid.Config) { c.Now = func() time.Time { return now } })
			step := sendgridfake.RateLimit(0)
			step.Header = http.Header{}
			for name, value := range tt.header {
				step.Header.Set(name, value)
			}
			f.Queue(step)
			got := c.Send(t.Context(), attempt, people(1))
			if got.Kind != sendgrid.RateLimited || got.Until.Sub(now) != tt.want {
				t.Errorf("%v for %v, want %v", got.Kind, got.Until.Sub(now), tt.want)
			}
		})
	}
}

func TestTheConnectionIsReusedAfterEveryAnswer(t *testing.T) {
	f := sendgridfake.New(sendgridfake.Config{})
	server := httptest.NewUnstartedServer(f)
	var opened atomic.Int32
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := client(t, config(server.URL))
	f.Queue(sendgridfake.RateLimit(0), sendgridfake.Fail(503), sendgridfake.Fail(400), sendgridfake.Fail(504))
	for range 6 {
		c.Send(t.Context(), attempt, people(2))
	}
	if n := opened.Load(); n != 1 || len(f.Requests()) != 6 {
		t.Errorf("%d connections for %d requests", n, len(f.Requests()))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere, _ := fake(t, sendgridfake.Config{})
	other := httptest.NewServer(elsewhere)
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		f, c := fake(t, sendgridfake.Config{})
		f.Queue(sendgridfake.Step{Status: status, Header: http.Header{"Location": {other.URL + "/v3/mail/send"}}})
		got := c.Send(t.Context(), attempt, people(1))
		if got.Kind != sendgrid.Refused || !strings.Contains(got.Reason, "redirect") {
			t.Errorf("%d: %+v", status, got)
		}
	}
	if n := len(elsewhere.Requests()); n != 0 {
		t.Errorf("%d requests went to the other server", n)
	}
}

func TestNoConnectionIsUnavailable(t *testing.T) {
	l := listen(t)
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := client(t, config(url)).Send(t.Context(), attempt, people(1)); got.Kind != sendgrid.Unavailable {
		t.Errorf("got %+v", got)
	}
}

func TestACancelledCallSendsNothing(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := c.Send(ctx, attempt, people(1)); got.Kind != sendgrid.Unavailable || f.Count() != 0 {
		t.Errorf("got %+v, %d taken", got, f.Count())
	}
}

func TestAResetBeforeTheRequestIsCompleteIsUnavailable(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{})
	f.Queue(sendgridfake.ResetUnread())
	if got := c.Send(t.Context(), attempt, largeRequest()); got.Kind != sendgrid.Unavailable || f.Count() != 0 {
		t.Errorf("got %+v, %d taken", got, f.Count())
	}
}

func TestATimeoutBeforeTheRequestIsCompleteIsUnavailable(t *testing.T) {
	unresponsiveServer(t, func(url string) {
		conf := config(url)
		conf.Timeout = 100 * time.Millisecond
		if got := client(t, conf).Send(t.Context(), attempt, largeRequest()); got.Kind != sendgrid.Unavailable {
			t.Errorf("got %+v", got)
		}
	})
}

func TestATimeoutAfterTheRequestIsUnknown(t *testing.T) {
	for name, step := range map[string]sendgridfake.Step{
		"taken": sendgridfake.TimeoutAfter(nil), "not taken": sendgridfake.TimeoutBefore(nil),
	} {
		t.Run(name, func(t *testing.T) {
			f, c := fake(t, sendgridfake.Config{}, func(c *sendgrid.Config) { c.Timeout = 500 * time.Millisecond })
			f.Queue(sendgridfake.Step{}, step)
			c.Send(t.Context(), attempt, people(1)) // connects, so that the timeout does not include connecting
			got := c.Send(t.Context(), attempt, people(3))
			if got.Kind != sendgrid.Unknown || !strings.Contains(got.Reason, "too long") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestACallCancelledAfterTheRequestIsUnknown(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{})
	f.Queue(sendgridfake.TimeoutAfter(nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = f.WaitFor(ctx, 3)
		cancel()
	}()
	if got := c.Send(ctx, attempt, people(3)); got.Kind != sendgrid.Unknown || f.Count() != 3 {
		t.Errorf("got %+v, %d taken", got, f.Count())
	}
}

func TestAGarbledAnswerIsUnknown(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "noise": "\x00\x01\x02\r\n\r\n", "half a status line": "HTTP/1.1 20", "no number": "HTTP/1.1 abc OK\r\n\r\n",
		"half a header": "HTTP/1.1 202 Accepted\r\nX-Message",
	} {
		t.Run(name, func(t *testing.T) {
			rawServer(t, func(conn net.Conn) {
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				_, _ = io.WriteString(conn, answer)
			}, func(url string) {
				if got := client(t, config(url)).Send(t.Context(), attempt, people(3)); got.Kind != sendgrid.Unknown {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

func TestOverHTTP2ARequestWithoutAnswerIsUnknown(t *testing.T) {
	f := sendgridfake.New(sendgridfake.Config{})
	server := httptest.NewUnstartedServer(f)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer f.Close()
	conf := config(server.URL)
	conf.HTTP = server.Client()
	ctx, cancel := context.WithCancel(t.Context())
	f.Script(func(sendgridfake.RequestInfo) sendgridfake.Step {
		cancel() // the request has begun and can't be complete
		return sendgridfake.Step{Unread: true, Hang: make(chan struct{}), Reset: true}
	})
	if got := client(t, conf).Send(ctx, attempt, largeRequest()); got.Kind != sendgrid.Unknown {
		t.Errorf("got %+v", got)
	}
}

func TestBrokenPreconditionsSendNothing(t *testing.T) {
	f, c := fake(t, sendgridfake.Config{})
	twice := people(2)
	twice[1].Email = strings.ToUpper(twice[0].Email)
	for name, got := range map[string]sendgrid.Result{
		"no recipient":                c.Send(t.Context(), attempt, nil),
		"too many":                    c.Send(t.Context(), attempt, people(1001)),
		"an address twice":            c.Send(t.Context(), attempt, twice),
		"no attempt":                  c.Send(t.Context(), uuid.Nil, people(1)),
		"no recipient and no attempt": c.Send(t.Context(), uuid.Nil, nil),
	} {
		if got.Kind != sendgrid.Invalid || got.Reason == "" {
			t.Errorf("%s: %+v", name, got)
		}
		withoutAddresses(t, got)
	}
	if n := len(f.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAllConfigurationErrorsAreReportedWithoutTheKey(t *testing.T) {
	_, err := sendgrid.New(sendgrid.Config{BaseURL: "ftp://x", APIKey: "SG. secret", From: "no address", PublicURL: "/sign-in", Timeout: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"SENDGRID_BASE_URL", "SENDGRID_API_KEY", "ALERT_FROM", "PUBLIC_URL", "timeout"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not in the error: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the key is in the error")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// unresponsiveServer gives use the address of a server that accepts connections and
// reads nothing.
func unresponsiveServer(t *testing.T, use func(url string)) {
	t.Helper()
	done := make(chan struct{})
	rawServer(t, func(net.Conn) { <-done }, func(url string) {
		defer close(done)
		use(url)
	})
}

// rawServer serves one connection with handle while use runs.
func rawServer(t *testing.T, handle func(net.Conn), use func(url string)) {
	t.Helper()
	l := listen(t)
	ended := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			handle(conn)
			err = conn.Close()
		}
		ended <- err
	}()
	use("http://" + l.Addr().String())
	_ = l.Close()
	if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// BenchmarkSend sends over loopback HTTP to a stand-in in the same process, which parses
// and keeps every recipient.
func BenchmarkSend(b *testing.B) {
	f := sendgridfake.New(sendgridfake.Config{Keep: 1_000_000})
	server := httptest.NewServer(f)
	defer server.Close()
	c, err := sendgrid.New(config(server.URL))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	to := people(1000)
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := c.Send(b.Context(), attempt, to); got.Kind != sendgrid.Accepted {
				b.Errorf("%+v", got)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N*len(to))/b.Elapsed().Seconds(), "recipients/s")
}
