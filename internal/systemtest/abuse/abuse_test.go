package abuse

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// mostMemory is the most memory of the process, in MiB.
	mostMemory = 400
	// rounds is how often the others make their requests during an attack.
	rounds = 2
	// many is "a thousand".
	many = 1000
)

// An attack begins, and goes on until ctx ends. It returns once it is in full force.
type attack struct {
	name  string
	begin func(ctx context.Context, a *attacker)
}

var attacks = []attack{
	{"idle connections", idle},
	{"connections that wait after an answer", keepAlive},
	{"slow headers", slowHeaders},
	{"slow bodies", slowBodies},
	{"unfinished files of strangers", func(ctx context.Context, a *attacker) { a.unfinishedFiles(ctx, "") }},
	{"unfinished files of staff", func(ctx context.Context, a *attacker) { a.unfinishedFiles(ctx, a.s.token) }},
	{"sign-ins from thousands of addresses", signIns},
	{"sign-ins of fifty clients", fiftyGuessers},
	{"streams", streams},
	{"deep JSON", deepJSON},
	{"huge headers and many cookies", hugeHeaders},
	{"HTTP/2 in the clear", clearHTTP2},
}

// While each attack goes on, and after it, others are served, and the memory stays under its limit.
func TestAbuse(t *testing.T) {
	s := newSystem(t)
	people := s.others()
	for range 3 {
		people.round(s)
	}
	people.took = map[string][]time.Duration{}
	for range rounds {
		people.round(s)
	}
	usual := people.took
	t.Logf("%-40s %8.0f MiB  %s", "no attack", s.peak(), people.times(nil))
	for _, one := range attacks {
		t.Run(one.name, func(t *testing.T) {
			s.t = t
			ctx, stop := context.WithCancel(t.Context())
			a := &attacker{s: s}
			defer func() { stop(); a.running.Wait() }()
			one.begin(ctx, a)
			people.took = map[string][]time.Duration{}
			for range rounds {
				people.round(s)
			}
			t.Logf("%-40s %8.0f MiB  %s", one.name, s.peak(), people.times(usual))
			stop()
			a.running.Wait()
			people.round(s)
			if memory := s.peak(); memory > mostMemory {
				t.Errorf("the process has had %.0f MiB, more than %d", memory, mostMemory)
			}
		})
	}
}

// others are people who use the system meanwhile.
type others struct {
	requests []request
	took     map[string][]time.Duration
}

type request struct {
	name string
	who  func() *visitor
	ask  func(*visitor) (method, path, body string)
	want int
	// tries is how often someone tries who is told to try again.
	tries int
}

func (s *system) others() *others {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	home := &visitor{s: s, client: &http.Client{Jar: jar}, address: "198.51.100.7"}
	staff := &visitor{s: s, client: &http.Client{}, address: "203.0.113.5", token: s.token}
	always := func(v *visitor) func() *visitor { return func() *visitor { return v } }
	asks := func(method, path, body string) func(*visitor) (string, string, string) {
		return func(*visitor) (string, string, string) { return method, path, body }
	}
	signIn := asks(http.MethodPost, "/v1/portal/session", `{"email":"`+patient+`","password":"`+portalPassword+`"}`)
	newcomers := 0
	newcomer := func() *visitor {
		newcomers++
		return &visitor{s: s, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, address: fmt.Sprintf("2001:db8:ffff:%x::1", newcomers)}
	}
	return &others{requests: []request{
		{"sign-in at home", always(home), signIn, http.StatusOK, 1},
		// In a flood from thousands of addresses, someone in a new browser is one of thousands.
		{"sign-in elsewhere", newcomer, signIn, http.StatusOK, 10},
		{"inbox", always(home), asks(http.MethodGet, "/v1/portal/messages", ""), http.StatusOK, 1},
		{"message", always(home), asks(http.MethodGet, "/v1/portal/messages/"+s.message, ""), http.StatusOK, 1},
		{"page", newcomer, asks(http.MethodGet, "/portal/sign-in", ""), http.StatusOK, 1},
		{"preview", always(staff), asks(http.MethodPost, "/v1/recipients/preview", `{"recipients":{"portal_user_ids":["pu-1"]}}`), http.StatusOK, 1},
		{"sending", always(staff), asks(http.MethodPost, "/v1/messages", `{"subject":"s","body":"b","recipients":{"portal_user_ids":["pu-1"]},"undo_seconds":0}`), http.StatusAccepted, 1},
	}, took: map[string][]time.Duration{}}
}

// round makes each request once. All of them must succeed.
func (o *others) round(s *system) {
	s.t.Helper()
	for _, r := range o.requests {
		v := r.who()
		method, path, body := r.ask(v)
		began := time.Now()
		var status int
		var text string
		var err error
		for tries := r.tries; tries > 0; tries-- {
			if status, text, err = v.try(s.t.Context(), method, path, body, []string{"Idempotency-Key", unique()}); status != http.StatusTooManyRequests {
				break
			}
		}
		o.took[r.name] = append(o.took[r.name], time.Since(began))
		if err != nil || status != r.want {
			s.t.Errorf("%s: status %d, want %d: %v\n%.300s", r.name, status, r.want, err, text)
		}
	}
}

// times are the longest times of each request, as multiples of the usual ones.
func (o *others) times(usual map[string][]time.Duration) string {
	var all []string
	for _, r := range o.requests {
		longest := slices.Max(o.took[r.name])
		text := fmt.Sprintf("%s %d ms", r.name, longest.Milliseconds())
		if usual != nil {
			text += fmt.Sprintf(" (%.1f)", float64(longest)/float64(slices.Max(usual[r.name])))
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// An attacker opens connections and makes requests until its context ends.
type attacker struct {
	s       *system
	running sync.WaitGroup
}

// connect opens n connections, and runs use with each until it returns or ctx ends. It returns when
// every use has called ready or returned.
func (a *attacker) connect(ctx context.Context, n int, use func(ctx context.Context, c net.Conn, ready func())) {
	var begun sync.WaitGroup
	for range n {
		begun.Add(1)
		ready := sync.OnceFunc(begun.Done)
		a.running.Go(func() {
			defer ready()
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.s.addr)
			if err != nil {
				return // the server has no place for it: that is what it may do
			}
			end := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer end()
			defer func() { _ = c.Close() }()
			use(ctx, c, ready)
		})
	}
	begun.Wait()
}

// hold waits until the server closes a connection, or the attack ends.
func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// drip sends a text byte by byte, every tenth of a second, as long as the server takes it.
func drip(ctx context.Context, c net.Conn, text string) {
	go hold(c)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := io.WriteString(c, text[i%len(text):i%len(text)+1]); err != nil {
			return
		}
	}
}

func idle(ctx context.Context, a *attacker) {
	a.connect(ctx, 3*many, func(_ context.Context, c net.Conn, ready func()) { ready(); hold(c) })
}

func keepAlive(ctx context.Context, a *attacker) {
	a.connect(ctx, many, func(_ context.Context, c net.Conn, ready func()) {
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		_, _ = c.Read(make([]byte, 1))
		ready()
		hold(c)
	})
}

func slowHeaders(ctx context.Context, a *attacker) {
	a.connect(ctx, many, func(ctx context.Context, c net.Conn, ready func()) {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		ready()
		drip(ctx, c, "a")
	})
}

func slowBodies(ctx context.Context, a *attacker) {
	a.connect(ctx, many, func(ctx context.Context, c net.Conn, ready func()) {
		_, _ = io.WriteString(c, "POST /v1/portal/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n")
		ready()
		drip(ctx, c, " ")
	})
}

// unfinishedFiles begins uploads and leaves them, most of each sent.
func (a *attacker) unfinishedFiles(ctx context.Context, token string) {
	const size = 4 << 20
	head := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\n"
	part := strings.Repeat("a", 1<<16)
	a.connect(ctx, 300, func(_ context.Context, c net.Conn, ready func()) {
		_, _ = fmt.Fprintf(c, "POST /v1/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n%s", token, size, head)
		ready() // many of them wait for memory from here on
		for range 3 << 20 / len(part) {
			if _, err := io.WriteString(c, part); err != nil {
				return
			}
		}
		hold(c)
	})
}

// guess tries to sign in, from an address, with a password that no one has. The answer must be 401
// or 429.
func (a *attacker) guess(ctx context.Context, v *visitor) {
	status, text, err := v.try(ctx, http.MethodPost, "/v1/portal/session", `{"email":"`+unique()+`@home.example.test","password":"a guess"}`, nil)
	if err == nil && status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
		a.s.t.Errorf("a guess is answered with %d: %.300s", status, text)
	}
}

// flood guesses with a number of clients at once until ctx ends. address gives the address of each
// guess. It returns after as many answers as there are clients.
func (a *attacker) flood(ctx context.Context, clients int, address func(client int) string) {
	var answered sync.WaitGroup
	answered.Add(clients)
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	for n := range clients {
		first := sync.OnceFunc(answered.Done)
		a.running.Go(func() {
			for ctx.Err() == nil {
				a.guess(ctx, &visitor{s: a.s, client: &http.Client{Transport: transport}, address: address(n)})
				first()
			}
		})
	}
	answered.Wait()
	a.running.Go(func() { <-ctx.Done(); transport.CloseIdleConnections() })
}

func signIns(ctx context.Context, a *attacker) {
	a.flood(ctx, 100, func(int) string {
		return fmt.Sprintf("10.%d.%d.%d", rand.IntN(2), rand.IntN(256), 1+rand.IntN(20)) // #nosec G404 -- no secret
	})
}

func fiftyGuessers(ctx context.Context, a *attacker) {
	a.flood(ctx, 50, func(client int) string { return fmt.Sprintf("192.0.2.%d", client+1) })
}

func streams(ctx context.Context, a *attacker) {
	var open, refused atomic.Int64
	a.connect(ctx, many, func(_ context.Context, c net.Conn, ready func()) {
		_, _ = fmt.Fprintf(c, "GET /v1/messages/%s/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", a.s.message, a.s.token)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return
		}
		switch res.StatusCode {
		case http.StatusOK:
			open.Add(1)
		case http.StatusTooManyRequests:
			refused.Add(1)
		default:
			a.s.t.Errorf("a stream is answered with %d", res.StatusCode)
		}
		ready()
		hold(c)
	})
	if open.Load() == 0 || refused.Load() == 0 {
		a.s.t.Errorf("%d streams are open, and %d were refused", open.Load(), refused.Load())
	}
}

func deepJSON(ctx context.Context, a *attacker) {
	deep := strings.Repeat("[", 500_000)
	for range 8 {
		a.running.Go(func() {
			for ctx.Err() == nil {
				for path, want := range map[string][]int{
					"/v1/recipients/preview": {http.StatusBadRequest},
					"/v1/portal/session":     {http.StatusBadRequest, http.StatusRequestEntityTooLarge},
				} {
					status, text, err := a.s.with(a.s.token).try(ctx, http.MethodPost, path, deep, nil)
					if err == nil && !slices.Contains(want, status) {
						a.s.t.Errorf("%s is answered with %d: %.200s", path, status, text)
					}
				}
			}
		})
	}
}

func hugeHeaders(ctx context.Context, a *attacker) {
	cookies := strings.Repeat("postern_staff=x; ", 1500)
	for _, header := range []string{"X-Huge: " + strings.Repeat("a", 1<<20), "Cookie: " + cookies + "a=b", strings.Repeat("X-Many: a\r\n", 3000) + "X: y"} {
		for range 4 {
			a.running.Go(func() {
				for ctx.Err() == nil {
					if status, err := a.raw(ctx, "GET /messages HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n"); err == nil && status >= http.StatusInternalServerError {
						a.s.t.Errorf("%.20s… is answered with %d", header, status)
					}
				}
			})
		}
	}
}

// raw sends a request as it is, and returns the status of the answer.
func (a *attacker) raw(ctx context.Context, text string) (int, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.s.addr)
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, text) // the server may answer and close before it has read all
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_ = res.Body.Close()
	return res.StatusCode, nil
}

// clearHTTP2 speaks HTTP/2 without TLS, which is not served: its streams would be one connection.
func clearHTTP2(ctx context.Context, a *attacker) {
	status, err := a.raw(ctx, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if err == nil && status < http.StatusBadRequest {
		a.s.t.Errorf("it is answered with %d", status)
	}
}
