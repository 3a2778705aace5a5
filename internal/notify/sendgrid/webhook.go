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

// WebhookTolerance is how old a post may be by default. SendGrid retries for a
// day and does not say whether a retry is signed anew. An old post that is
// played back does no harm: its events' ids were seen before.
const WebhookTolerance = 25 * time.Hour

// webhookSkew is how far SendGrid's clock may be ahead of ours.
const webhookSkew = 5 * time.Minute

// ErrWebhook is the error of every post that SendGrid did not sign, or not now.
// Answer it with 401.
var ErrWebhook = errors.New("the post is not signed by SendGrid")

// ParseWebhookKey reads the verification key that SendGrid shows for a signed
// event webhook (base64 of a DER public key), or the same as PEM.
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

// VerifyWebhook checks that body came from SendGrid, signed at most tolerance
// before now. body must be the bytes as they arrived: decode them only
// afterwards. Every error is an ErrWebhook.
func VerifyWebhook(key *ecdsa.PublicKey, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	timestamp := header.Get(TimestampHeader)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return webhookError("it bears no timestamp")
	}
	signature, err := base64.StdEncoding.DecodeString(header.Get(SignatureHeader))
	if err != nil || len(signature) == 0 {
		return webhookError("it bears no signature")
	}
	digest := sha256.New()
	digest.Write([]byte(timestamp))
	digest.Write(body)
	if !ecdsa.VerifyASN1(key, digest.Sum(nil), signature) {
		return webhookError("the signature is another's, or the body was changed")
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
