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
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"postern/internal/clinic"
	"postern/internal/text/address"
	"postern/internal/text/language"
)

// MaxRecipients is SendGrid's limit of recipients in one request.
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/limitations
const MaxRecipients = 1000

const (
	defaultBaseURL = "https://api.sendgrid.com"
	defaultTimeout = 30 * time.Second
)

// Config has the SendGrid account, the sender and the address of the portal.
type Config struct {
	// BaseURL is the API's scheme and host; empty means SendGrid's own.
	BaseURL string
	// APIKey is the account's secret. No error and no Result contains it.
	APIKey string
	// From is the sender, an RFC 5322 address with or without a display name.
	From string
	// PublicURL is the portal's sign-in link, the only link in an alert.
	PublicURL string
	// UnsubscribeURL is the beginning of the address at which recipients of alerts opt out (RFC
	// 8058); see [Address].
	UnsubscribeURL string
	// Clinic returns what e-mails show of the clinic. It is called for every request, so that a
	// change takes effect at the next one. If it fails, the details before stay in use. It may be nil.
	Clinic func(context.Context) (clinic.Face, error)
	// Timeout limits one request, from dialling to the end of the answer; 0 means 30 s.
	Timeout time.Duration
	// HTTP replaces the package's own client. The own client's transport has timeouts
	// and uses only HTTP/1.1, which shows whether a request was sent completely. Over
	// HTTP/2 every failure after connecting is Unknown.
	HTTP *http.Client
	// Now is the clock for Until; nil means time.Now.
	Now func() time.Time
}

// Client sends alerts through one SendGrid account.
type Client struct {
	endpoint      string
	authorization string
	timeout       time.Duration
	from          *mail.Address
	publicURL     string
	unsubscribe   string
	clinic        func(context.Context) (clinic.Face, error)
	letterhead    atomic.Pointer[letterhead]
	http          *http.Client
	now           func() time.Time
}

// New checks all of c and reports every error at once. It does not connect.
func New(c Config) (*Client, error) {
	base, baseErr := parseURL("SENDGRID_BASE_URL", orDefault(c.BaseURL, defaultBaseURL))
	_, publicErr := parseURL("PUBLIC_URL", c.PublicURL)
	from, fromErr := address.Mailbox(c.From)
	if fromErr != nil {
		fromErr = fmt.Errorf("ALERT_FROM: %w; use an address like `Clinic <alerts@clinic.example>`", fromErr)
	}
	err := errors.Join(baseErr, checkKey(c.APIKey), fromErr, publicErr)
	if c.Timeout < 0 {
		err = errors.Join(err, errors.New("the timeout for SendGrid is negative"))
	}
	if err != nil {
		return nil, fmt.Errorf("configuring SendGrid: %w", err)
	}
	client := &Client{
		endpoint:      base.JoinPath("/v3/mail/send").String(),
		authorization: "Bearer " + c.APIKey,
		timeout:       orDefault(c.Timeout, defaultTimeout),
		from:          from,
		publicURL:     c.PublicURL,
		unsubscribe:   c.UnsubscribeURL,
		clinic:        c.Clinic,
		http:          httpClient(c.HTTP),
		now:           c.Now,
	}
	if client.now == nil {
		client.now = time.Now
	}
	client.letterhead.Store(client.headed(clinic.Face{}))
	return client, nil
}

// letterhead is what e-mails show of the clinic, and the alerts' envelopes with it, by language.
type letterhead struct {
	clinic    clinic.Face
	from      *mail.Address
	envelopes map[language.Language]envelope
}

func (c *Client) headed(f clinic.Face) *letterhead {
	from := *c.from
	if f.Name != "" {
		from.Name = f.Name
	}
	envelopes := make(map[language.Language]envelope, len(language.Portal))
	for _, l := range language.Portal {
		envelopes[l] = newEnvelope(&from, c.publicURL, c.unsubscribe, l, f)
	}
	return &letterhead{f, &from, envelopes}
}

// head returns the present letterhead.
func (c *Client) head(ctx context.Context) *letterhead {
	last := c.letterhead.Load()
	if c.clinic == nil {
		return last
	}
	f, err := c.clinic(ctx)
	if err != nil || f == last.clinic {
		return last
	}
	made := c.headed(f)
	c.letterhead.Store(made)
	return made
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
		return nil, fmt.Errorf("%s: must be an http or https address without a user; use one like https://portal.example", name)
	}
	return u, nil
}

func checkKey(key string) error {
	if key == "" {
		return errors.New("SENDGRID_API_KEY: is empty; create a key with the permission Mail Send")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return errors.New("SENDGRID_API_KEY: contains a space or another character that is not allowed in a key")
		}
	}
	return nil
}

// httpClient gives a client that never follows a redirect: SendGrid did not accept the
// POST, and another server must not get it.
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

// Close closes idle connections. Current requests continue.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Address is one recipient of an attempt.
type Address struct {
	// Position is the recipient's position in its chunk. SendGrid gets it instead of an
	// identity and repeats it in its reports.
	Position int
	// Email is the address without a name. This package sends it only to SendGrid.
	Email string
	// Unsubscribe is the end of the address at which this recipient opts out: it follows
	// UnsubscribeURL. It must not need escaping in JSON. If it is "", the alert has no
	// List-Unsubscribe header.
	Unsubscribe string
}

// Send makes one request for one attempt and gives its result. It needs one to
// MaxRecipients recipients, and no address twice, ignoring letter case: people who share
// an address go into different requests. The alert is in the language of ctx.
func (c *Client) Send(ctx context.Context, attempt uuid.UUID, to []Address) Result {
	if err := checkRecipients(attempt, to); err != nil {
		return Result{Kind: Invalid, Reason: err.Error()}
	}
	// Every request has its own body: if an early answer makes Do return, net/http may
	// still be reading the body, so it must not be reused.
	return c.post(ctx, c.head(ctx).envelopes[language.From(ctx)].encode(attempt, to), to)
}

// post makes one request; to are the recipients to which its answer may refer.
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
		// SendGrid may have accepted the request. Only the progress of the request
		// shows whether that is possible.
		return sent.result(err)
	}
	defer resp.Body.Close()
	result := c.answer(resp, to)
	if result.Kind != Accepted {
		// Read to the end, so that the connection can be reused: during a rate limit,
		// new handshakes would add load. A 202 has no body.
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
	var seen AddressSet
	for _, a := range to {
		if !seen.Add(a.Email) {
			return errors.New("an address is in the request more than once; spread it over requests")
		}
	}
	return nil
}
