package sendgridfake

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"postern/internal/notify/sendgrid"
)

// Webhook posts signed events to one URL, as SendGrid's Event Webhook does.
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
type Webhook struct {
	URL        string
	PrivateKey *ecdsa.PrivateKey
	// Batch is the largest number of events in a POST; 0 means 100.
	Batch int
	// Repeat is the number of times that every batch is sent again.
	Repeat int
	// Shuffle is the seed with which all events are shuffled first; 0 keeps their order.
	Shuffle uint64
	// HTTP is the client; nil means http.DefaultClient.
	HTTP *http.Client
	// Now is the clock of the signature; nil means time.Now.
	Now func() time.Time
}

// GenerateKey makes a key for signatures.
func GenerateKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a webhook key: %w", err)
	}
	return key, nil
}

// PublicKey is the verification key in SendGrid's form: base64 of DER.
func (w Webhook) PublicKey() string {
	// Encoding a P-256 key can't fail.
	der, _ := x509.MarshalPKIXPublicKey(&w.PrivateKey.PublicKey)
	return base64.StdEncoding.EncodeToString(der)
}

// Post sends the events in batches and stops at the first batch without a 2xx answer.
func (w Webhook) Post(ctx context.Context, events ...Event) error {
	if w.Shuffle != 0 {
		events = slices.Clone(events)
		r := mathrand.New(mathrand.NewPCG(w.Shuffle, 0)) // #nosec G404 -- an order for a test
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	}
	size := w.Batch
	if size == 0 {
		size = 100
	}
	for batch := range slices.Chunk(events, size) {
		body, err := EncodeEvents(batch)
		if err != nil {
			return err
		}
		for range w.Repeat + 1 {
			if err := w.post(ctx, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sign gives the headers of a POST of body, signed at the current time.
func (w Webhook) Sign(body []byte) (http.Header, error) {
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	timestamp := strconv.FormatInt(now().Unix(), 10)
	digest := sha256.Sum256(append([]byte(timestamp), body...))
	signature, err := ecdsa.SignASN1(rand.Reader, w.PrivateKey, digest[:])
	if err != nil {
		return nil, fmt.Errorf("signing events: %w", err)
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set(sendgrid.TimestampHeader, timestamp)
	h.Set(sendgrid.SignatureHeader, base64.StdEncoding.EncodeToString(signature))
	return h, nil
}

func (w Webhook) post(ctx context.Context, body []byte) error {
	header, err := w.Sign(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("posting events: %w", err)
	}
	req.Header = header
	client := w.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("posting events: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("posting events: answered %s", resp.Status)
	}
	return nil
}

// EncodeEvents encodes a batch as SendGrid does, with line ends between and after the
// events. The signature covers the line ends, too.
func EncodeEvents(events []Event) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, e := range events {
		if i > 0 {
			b.WriteString(",\r\n")
		}
		one, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encoding events: %w", err)
		}
		b.Write(one)
	}
	b.WriteString("]\r\n")
	return b.Bytes(), nil
}
