package sendgrid

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer is the number of bytes of an answer that are read, enough for some hundred
// refusals. SendGrid repeats the others in the answer to the next request.
const maxAnswer = 64 << 10

// answer reads SendGrid's answer.
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
func (c *Client) answer(resp *http.Response, to []Address) Result {
	r := Result{Status: resp.StatusCode, Kind: kindOf(resp.StatusCode)}
	switch r.Kind {
	case Accepted:
		// The status is enough: an incomplete body changes nothing.
		r.MessageID = messageID(resp.Header.Get("X-Message-Id"))
	case RateLimited:
		r.Until = until(resp.Header, c.now())
		r.Reason = "SendGrid's rate limit is reached (429)"
	case Refused:
		readRefusals(resp, to, &r)
	case Unavailable:
		r.Reason = fmt.Sprintf("SendGrid could not take it at the moment (%d)", r.Status)
	default:
		r.Reason = fmt.Sprintf("the answer %d does not say whether SendGrid took it", r.Status)
	}
	return r
}

// kindOf is the only place that decides what a status means for a retry.
func kindOf(status int) Kind {
	switch {
	case status == http.StatusAccepted:
		return Accepted
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusRequestTimeout:
		// The request did not arrive completely (RFC 9110, 15.5.9).
		return Unavailable
	case status == http.StatusGatewayTimeout:
		// A gateway passed the request on and got no answer (15.6.5): SendGrid behind
		// it may have accepted the request. In an outage the gateway answers 502.
		return Unknown
	case status >= 500 && status <= 599:
		return Unavailable
	case status >= 300 && status <= 499:
		return Refused
	default:
		// 200 is "valid, but not queued" in sandbox mode, which Postern never uses:
		// another server has answered.
		return Unknown
	}
}

// messageID gives s if it looks like an id, and otherwise "".
func messageID(s string) string {
	if len(s) > 128 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return s
}

const (
	shortestWait = time.Second
	longestWait  = 15 * time.Minute
	defaultWait  = time.Minute
)

// until is the time at which a rate limit ends, between one second and 15 minutes from
// now. X-RateLimit-Reset is a time of SendGrid's clock, so it is compared with the
// answer's own Date.
// https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
func until(h http.Header, now time.Time) time.Time {
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		theirs = now
	}
	wait := defaultWait
	if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
		// Limited before the conversion to a Duration, which a wrong value would overflow.
		wait = time.Duration(min(max(reset, 0)-theirs.Unix(), int64(longestWait/time.Second))) * time.Second
	} else if seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		wait = at.Sub(theirs)
	}
	return now.Add(min(max(wait, shortestWait), longestWait))
}

// readRefusals reads the recipients and the reasons of a refusal. The request is refused
// even if the answer can't be read.
func readRefusals(resp *http.Response, to []Address, r *Result) {
	r.Reason = refusalWords(r.Status)
	if r.Status < 400 {
		return
	}
	body := io.LimitReader(resp.Body, maxAnswer)
	named := make(map[int]bool)
	general := ""
	broken := eachError(body, func(e apiError) {
		i, ok := personalization(e.Field)
		switch {
		case !ok || i >= len(to):
			if general == "" {
				general = clean(e.Message, "")
			}
		case !named[i]:
			named[i] = true
			r.Refusals = append(r.Refusals, Refusal{Position: to[i].Position, Reason: clean(e.Message, to[i].Email)})
		}
	})
	if general != "" {
		r.Reason += ": " + general
	}
	if broken && general == "" && len(r.Refusals) == 0 {
		// Refused, but the connection broke before the reason: the next answer may name
		// the recipients at fault, so that only those fail.
		r.Kind = Unavailable
		r.Reason = fmt.Sprintf("SendGrid refused it (%d), and its answer broke off before the reason", r.Status)
	}
}

func refusalWords(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "SendGrid does not know the API key (401); check SENDGRID_API_KEY"
	case http.StatusForbidden:
		return "SendGrid does not let this account send it (403); check the key's permission Mail Send and that ALERT_FROM is a verified sender"
	case http.StatusRequestEntityTooLarge:
		return "the request is too large for SendGrid (413); send fewer at a time"
	}
	if status < 400 {
		return fmt.Sprintf("the server answered with a redirect (%d); check SENDGRID_BASE_URL", status)
	}
	return fmt.Sprintf("SendGrid refused it (%d)", status)
}

type apiError struct {
	Message string `json:"message"`
	Field   string `json:"field"`
}

// eachError calls f for every entry of the answer's "errors" and stops at the first
// unexpected JSON. It reports whether the answer is incomplete because the connection
// broke.
func eachError(body io.Reader, f func(apiError)) (broken bool) {
	source := &errorReader{Reader: body}
	dec := jsontext.NewDecoder(source, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return source.failed
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return source.failed
		}
		if name.String() != "errors" || dec.PeekKind() != '[' {
			if dec.SkipValue() != nil {
				return source.failed
			}
			continue
		}
		if _, err := dec.ReadToken(); err != nil {
			return source.failed
		}
		for dec.PeekKind() == '{' {
			var e apiError
			if json.UnmarshalDecode(dec, &e) != nil {
				return source.failed
			}
			f(e)
		}
		return source.failed
	}
	return source.failed
}

// errorReader notes whether a read failed with an error other than io.EOF.
type errorReader struct {
	io.Reader
	failed bool
}

func (r *errorReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.failed = true
	}
	return n, err
}

// personalization reads the index out of a field such as
// personalizations.3.to.0.email.
func personalization(field string) (int, bool) {
	rest, ok := strings.CutPrefix(field, "personalizations.")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, ".")
	i, err := strconv.ParseUint(digits, 10, 16)
	return int(i), err == nil
}
