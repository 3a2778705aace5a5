package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// ErrRefused is the error if a bucket answers but refuses the request. Retrying does not
// help; an operator must correct the settings.
var ErrRefused = errors.New("the bucket refuses it")

// remedies says what to do about S3's refusals, by their codes:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
var remedies = map[string]string{
	"InvalidAccessKeyId":           "it does not know the access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE",
	"SignatureDoesNotMatch":        "the secret key does not belong to the access key: set AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE",
	"ExpiredToken":                 "the session token has expired: set a new AWS_SESSION_TOKEN, or use permanent credentials",
	"InvalidToken":                 "the session token is not valid: set a new AWS_SESSION_TOKEN, or remove it",
	"AccessDenied":                 "its policy does not allow that: docs/proof.md has the policy that is needed",
	"Forbidden":                    "its policy does not allow that: docs/proof.md has the policy that is needed",
	"NoSuchBucket":                 "there is no bucket with that name: make it, or correct its address",
	"PermanentRedirect":            "it is in another region: add ?region=… to its address, or set AWS_REGION",
	"AuthorizationHeaderMalformed": "it is in another region: add ?region=… to its address, or set AWS_REGION",
	"RequestTimeTooSkewed":         "this machine's clock is wrong: set it",
}

// Explain adds advice to an error of a bucket, if it has any. Such an error wraps
// [ErrRefused].
func Explain(err error) error {
	var refusal smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && remedies[refusal.ErrorCode()] != "":
		return fmt.Errorf("%w: %s (%s)", ErrRefused, remedies[refusal.ErrorCode()], refusal.ErrorCode())
	case strings.Contains(err.Error(), "get credentials"): // the SDK has no type for it
		return fmt.Errorf("%w: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE (%w)", ErrRefused, err)
	case gcerrors.Code(err) == gcerrors.PermissionDenied:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// Reach lists one name below prefix, so that wrong settings are reported at the start and
// not when the first blob is written.
func Reach(ctx context.Context, b *blob.Bucket, prefix string) error {
	_, err := b.List(&blob.ListOptions{Prefix: prefix}).Next(ctx)
	if err == io.EOF { // not errors.Is: the error of a broken connection wraps io.EOF
		return nil
	}
	return Explain(err)
}
