package sendgrid

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed event webhook.
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
const (
	SignatureHeader = "X-Twilio-Email-Event-Webhook-Signature"
	TimestampHeader = "X-Twilio-Email-Event-Webhook-Timestamp"
)

// WebhookTolerance is the default largest age of a POST. SendGrid retries for a day, and
// its documentation does not say whether it signs a retry again. A replayed old POST is
// harmless: the ids of its events are known.
const WebhookTolerance = 25 * time.Hour

// webhookSkew is how far SendGrid's clock may be ahead of this machine's.
const webhookSkew = 5 * time.Minute

// ErrWebhook is the error of every POST without a valid and recent signature of
// SendGrid. Answer it with 401.
var ErrWebhook = errors.New("the POST is not signed by SendGrid")

// ParseWebhookKey reads the verification key that SendGrid shows for a signed event
// webhook (base64 of a DER public key), or the same key as PEM.
func ParseWebhookKey(text string) (*ecdsa.PublicKey, error) {
	const fault = "SENDGRID_WEBHOOK_PUBLIC_KEY must be an ECDSA public key: copy it from SendGrid's Mail Settings, Signed Event Webhook"
	text = strings.TrimSpace(text)
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else {
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New(fault)
		}
		der = decoded
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New(fault)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New(fault)
	}
	return key, nil
}

// VerifyWebhook checks that SendGrid signed body at most tolerance before now. body must
// be the received bytes: decode them only afterwards. Every error wraps ErrWebhook.
func VerifyWebhook(key *ecdsa.PublicKey, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	timestamp := header.Get(TimestampHeader)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return webhookError("it has no timestamp")
	}
	signature, err := base64.StdEncoding.DecodeString(header.Get(SignatureHeader))
	if err != nil || len(signature) == 0 {
		return webhookError("it has no signature")
	}
	digest := sha256.New()
	digest.Write([]byte(timestamp))
	digest.Write(body)
	if !ecdsa.VerifyASN1(key, digest.Sum(nil), signature) {
		return webhookError("the signature is made with another key, or the body was changed")
	}
	signed := time.Unix(seconds, 0)
	if signed.Before(now.Add(-tolerance)) || signed.After(now.Add(webhookSkew)) {
		return webhookError("it was not signed recently; is this machine's clock right?")
	}
	return nil
}

type webhookError string

func (e webhookError) Error() string { return ErrWebhook.Error() + ": " + string(e) }

func (webhookError) Unwrap() error { return ErrWebhook }
