package sendgrid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/text/address"
)

// MaxRecipients is the most recipients SendGrid takes in one request.
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/limitations
const MaxRecipients = 1000

const (
	defaultBaseURL = "https://api.sendgrid.com"
	defaultTimeout = 30 * time.Second
)

// Config says which account sends, as whom, and where the portal is.
type Config struct {
	// BaseURL is the API's scheme and host; empty means SendGrid's own.
	BaseURL string
	// APIKey is the account's secret. It appears in no error and no Result.
	APIKey string
	// From is the sender, an RFC 5322 address with or without a display name.
	From string
	// PublicURL is the portal's sign-in link, the only link in an alert.
	PublicURL string
	// Timeout bounds one request from dialling to the end of the answer; 0
	// means 30 s.
	Timeout time.Duration
	// HTTP replaces the package's own client, whose transport has deadlines of
	// its own and speaks HTTP/1.1 only: there it is certain whether a request
	// left whole. Over HTTP/2 every fault after connecting is Unknown.
	HTTP *http.Client
	// Now is the clock that Until is reckoned by; nil means time.Now.
	Now func() time.Time
}

// Client sends alerts through one SendGrid account.
type Client struct {
	endpoint      string
	authorization string
	timeout       time.Duration
	from          *mail.Address
	envelope      envelope
	http          *http.Client
	now           func() time.Time
}

// New checks the whole of c and reports every fault at once. It connects to
// nothing.
func New(c Config) (*Client, error) {
	base, baseErr := parseURL("SENDGRID_BASE_URL", orDefault(c.BaseURL, defaultBaseURL))
	_, publicErr := parseURL("PUBLIC_URL", c.PublicURL)
	from, fromErr := address.Mailbox(c.From)
	if fromErr != nil {
		fromErr = fmt.Errorf("ALERT_FROM: %w; give one like `Clinic <alerts@clinic.example>`", fromErr)
	}
	err := errors.Join(baseErr, checkKey(c.APIKey), fromErr, publicErr)
	if c.Timeout < 0 {
		err = errors.Join(err, errors.New("the time-out for SendGrid is negative"))
	}
	if err != nil {
		return nil, fmt.Errorf("configuring SendGrid: %w", err)
	}
	client := &Client{
		endpoint:      base.JoinPath("/v3/mail/send").String(),
		authorization: "Bearer " + c.APIKey,
		timeout:       orDefault(c.Timeout, defaultTimeout),
		from:          from,
		envelope:      newEnvelope(from, c.PublicURL),
		http:          httpClient(c.HTTP),
		now:           c.Now,
	}
	if client.now == nil {
		client.now = time.Now
	}
	return client, nil
}

func orDefault[T comparable](given, fallback T) T {
	var zero T
	if given == zero {
		return fallback
	}
	return given
}

func parseURL(name, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%s: not an http or https address without a user; give one like https://portal.example", name)
	}
	return u, nil
}

func checkKey(key string) error {
	if key == "" {
		return errors.New("SENDGRID_API_KEY: empty; make one with the permission Mail Send")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return errors.New("SENDGRID_API_KEY: holds a space or another character that no key has")
		}
	}
	return nil
}

// httpClient never follows a redirect: a POST that is answered by one was not
// taken, and must not be repeated elsewhere.
func httpClient(given *http.Client) *http.Client {
	c := &http.Client{Transport: newTransport()}
	if given != nil {
		copied := *given
		c = &copied
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

func newTransport() *http.Transport {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		WriteBufferSize:     32 << 10,
		Protocols:           http1,
	}
}

// Close closes the connections that are idle. Requests under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Address is one recipient of an attempt.
type Address struct {
	// Position is the recipient's place in its chunk. It goes to SendGrid in
	// place of an identity and comes back in its reports.
	Position int
	// Email is the bare address. It leaves this package towards SendGrid only.
	Email string
}

// Send makes one request for one attempt and says what is known of it
// afterwards. It needs one to MaxRecipients recipients and no address twice,
// letter case aside: people who share one go into different requests.
func (c *Client) Send(ctx context.Context, attempt uuid.UUID, to []Address) Result {
	if err := checkRecipients(attempt, to); err != nil {
		return Result{Kind: Invalid, Reason: err.Error()}
	}
	// The body is this request's own: net/http may still be reading it when an
	// early answer makes Do return, so it must not be reused.
	return c.post(ctx, c.envelope.encode(attempt, to), to)
}

// post makes one request; to is whom its answer may speak of.
func (c *Client) post(ctx context.Context, body []byte, to []Address) Result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var sent progress
	req, err := http.NewRequestWithContext(sent.watch(ctx), http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return Result{Kind: Invalid, Reason: "the request could not be made"}
	}
	req.Header.Set("Authorization", c.authorization)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		// Here SendGrid may be mailing people without our knowing: the one
		// place where only what was written can tell.
		return sent.result(err)
	}
	defer resp.Body.Close()
	result := c.answer(resp, to)
	if result.Kind != Accepted {
		// Read to its end, so that the connection can be used again: a rate
		// limit is no time for new handshakes. A 202 has no body.
		_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	}
	return result
}

func checkRecipients(attempt uuid.UUID, to []Address) error {
	if attempt == uuid.Nil {
		return errors.New("an attempt needs an id")
	}
	if len(to) == 0 || len(to) > MaxRecipients {
		return fmt.Errorf("a request needs 1 to %d recipients, not %d", MaxRecipients, len(to))
	}
	seen := make(map[string]struct{}, len(to))
	for _, a := range to {
		seen[strings.ToLower(a.Email)] = struct{}{}
	}
	if len(seen) < len(to) {
		return errors.New("an address is in the request more than once; spread it over requests")
	}
	return nil
}
