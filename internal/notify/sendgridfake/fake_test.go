package sendgridfake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func server(t *testing.T, f *Fake) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	t.Cleanup(f.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s.URL
}

// testTimeout is how long a test waits for something that should happen at once, so that
// a fault makes the test fail and not hang.
const testTimeout = 20 * time.Second

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// call makes a request and gives its status, 0 if there was no answer.
func call(ctx context.Context, t *testing.T, url, body string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/mail/send", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

func TestQueueComesBeforeScriptAndEveryRequestIsLogged(t *testing.T) {
	f := New(Config{})
	url := server(t, f)
	f.Script(func(r RequestInfo) Step {
		if r.Number == 3 {
			return Fail(500)
		}
		return Step{}
	})
	f.Queue(RateLimit(time.Second), ResetAfter())
	var got []int
	for i := range 5 {
		text := body(to(fmt.Sprintf("u%d@example.org", i)))
		if i == 4 {
			text = "{}"
		}
		got = append(got, call(t.Context(), t, url, text))
	}
	if diff := cmp.Diff([]int{429, 0, 500, 202, 400}, got); diff != "" {
		t.Errorf("statuses, wanted (-) and got (+):\n%s", diff)
	}
	var logged []RequestInfo
	for _, r := range f.Requests() {
		if (r.MessageID != "") != r.Taken || r.At.IsZero() || r.Size == 0 {
			t.Errorf("%+v", r)
		}
		logged = append(logged, RequestInfo{Number: r.Number, Attempt: r.Attempt, Recipients: r.Recipients, Status: r.Status, Taken: r.Taken})
	}
	id := uuid.MustParse(attempt)
	want := []RequestInfo{
		{Number: 1, Attempt: id, Recipients: 1, Status: 429},
		{Number: 2, Attempt: id, Recipients: 1, Taken: true},
		{Number: 3, Attempt: id, Recipients: 1, Status: 500},
		{Number: 4, Attempt: id, Recipients: 1, Status: 202, Taken: true},
		{Number: 5, Status: 400},
	}
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Errorf("requests, wanted (-) and got (+):\n%s", diff)
	}
	if f.Count() != 2 || f.ByAddress("u1@example.org") != 1 || f.ByAddress("u0@example.org") != 0 {
		t.Errorf("%d taken: %v", f.Count(), f.Counts())
	}
	if diff := cmp.Diff(map[uuid.UUID]int{id: 2}, f.PerAttempt()); diff != "" {
		t.Error(diff)
	}
}

func TestAScriptNeverStoresMailThatSendGridWouldRefuse(t *testing.T) {
	f := New(Config{})
	url := server(t, f)
	f.Queue(ResetAfter(), TimeoutAfter(nil))
	for range 2 {
		if got := call(t.Context(), t, url, "{}"); got != http.StatusBadRequest {
			t.Errorf("%d", got)
		}
	}
}

func TestRateLimitEndsAtAWholeSecond(t *testing.T) {
	now := time.Unix(1_700_000_000, 1)
	f := New(Config{Now: func() time.Time { return now }})
	f.Queue(RateLimit(1500 * time.Millisecond))
	w := post(t, f, body(to("jo@example.org")))
	if got := w.Header().Get("X-RateLimit-Reset"); got != "1700000002" || w.Code != 429 {
		t.Errorf("%d until %s", w.Code, got)
	}
}

func TestAHeldAnswerWaitsForItsGate(t *testing.T) {
	f := New(Config{})
	url := server(t, f)
	gate := make(chan struct{})
	f.Queue(Hold(gate))
	answered := make(chan int)
	go func() { answered <- call(context.Background(), t, url, body(to("jo@example.org"))) }()
	if err := f.WaitFor(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-answered:
		t.Fatalf("answered %d before the gate opened", got)
	default:
	}
	close(gate)
	if got := <-answered; got != http.StatusAccepted {
		t.Errorf("%d", got)
	}
}

func TestCloseEndsRequestsThatHang(t *testing.T) {
	f := New(Config{})
	url := server(t, f)
	f.Queue(TimeoutAfter(nil))
	answered := make(chan int)
	go func() { answered <- call(context.Background(), t, url, body(to("jo@example.org"))) }()
	if err := f.WaitFor(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := <-answered; got != 0 {
		t.Errorf("%d", got)
	}
}

func TestWaitForReportsTheNumberAccepted(t *testing.T) {
	f := New(Config{})
	post(t, f, body(to("jo@example.org")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.WaitFor(ctx, 2)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 recipients") || !strings.Contains(err.Error(), "accepted 1") {
		t.Errorf("%v", err)
	}
}

func TestMixDrawsItsSharesReproducibly(t *testing.T) {
	m := Mix{RateLimit: 0.1, ServerError: 0.1, ResetAfter: 0.2, Seed: 5}
	counts := make(map[string]int)
	first, second := m.Script(), m.Script()
	for i := range 10_000 {
		info := RequestInfo{Number: i}
		step := first(info)
		if diff := cmp.Diff(step, second(info)); diff != "" {
			t.Fatalf("request %d differs the second time:\n%s", i, diff)
		}
		counts[fmt.Sprint(step.Status, step.Reset)]++
	}
	for what, share := range map[string]int{"429 false": 1000, "503 false": 1000, "0 true": 2000, "0 false": 6000} {
		if n := counts[what]; n < share*9/10 || n > share*11/10 {
			t.Errorf("%s drawn %d times, want about %d", what, n, share)
		}
	}
}

func TestOnlyTheNewestAreKept(t *testing.T) {
	f := New(Config{Keep: 5})
	for i := range 10 {
		post(t, f, body(each(3, func(j int) string { return to(fmt.Sprintf("u%d.%d@example.org", i, j)) })))
	}
	var got []string
	for m := range f.Accepted() {
		got = append(got, m.To)
	}
	want := []string{"u8.0@example.org", "u8.1@example.org", "u8.2@example.org", "u9.0@example.org", "u9.1@example.org", "u9.2@example.org"}
	if !slices.Equal(got, want) || f.Count() != 30 {
		t.Errorf("%d in all, kept %v", f.Count(), got)
	}
}

func TestAMillionRecipientsFitInAHundredMebibytes(t *testing.T) {
	f := New(Config{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	text := body(numbered(1000))
	for range 1000 {
		post(t, f, text)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	mib := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / (1 << 20)
	t.Logf("%.1f MiB", mib)
	if f.Count() != 1_000_000 || mib > 100 {
		t.Errorf("%d recipients in %.1f MiB", f.Count(), mib)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	f := New(Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(ctx, l) }()
	url := "http://" + l.Addr().String()
	f.Queue(Step{}, TimeoutAfter(nil))
	if got := call(t.Context(), t, url, body(to("jo@example.org"))); got != http.StatusAccepted {
		t.Errorf("%d", got)
	}
	hung := make(chan int)
	go func() { hung <- call(context.Background(), t, url, body(to("ann@example.org"))) }()
	if err := f.WaitFor(soon(t), 2); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || !strings.Contains(string(page), "ann@example.org") {
		t.Errorf("%v, %s", err, page)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := <-hung; got != 0 {
		t.Errorf("%d", got)
	}
	http.DefaultClient.CloseIdleConnections()
}
