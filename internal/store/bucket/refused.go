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

// ErrRefused says that a bucket answers and will not do what is asked of it: time
// does not mend that, somebody has to.
var ErrRefused = errors.New("the bucket refuses it")

// what to do about S3's refusals, by their codes:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
var remedies = map[string]string{
	"InvalidAccessKeyId":           "it does not know the access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE",
	"SignatureDoesNotMatch":        "the secret key is not that of the access key: set AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE",
	"ExpiredToken":                 "the session token has expired: set AWS_SESSION_TOKEN anew, or use credentials that last",
	"InvalidToken":                 "the session token is none: set AWS_SESSION_TOKEN anew, or leave it out",
	"AccessDenied":                 "its policy does not allow that: docs/proof.md has the one that is needed",
	"Forbidden":                    "its policy does not allow that: docs/proof.md has the one that is needed",
	"NoSuchBucket":                 "there is no bucket of that name: make it, or mend its address",
	"PermanentRedirect":            "it is in another region: add ?region=… to its address, or set AWS_REGION",
	"AuthorizationHeaderMalformed": "it is in another region: add ?region=… to its address, or set AWS_REGION",
	"RequestTimeTooSkewed":         "this machine's clock is wrong: set it",
}

// Explain adds to an error of a bucket's what to do about it, where that is known.
// Such an error wraps [ErrRefused].
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

// Reach asks for any one name below prefix, so that wrong settings are said at
// start and not when the first blob is to be written.
func Reach(ctx context.Context, b *blob.Bucket, prefix string) error {
	_, err := b.List(&blob.ListOptions{Prefix: prefix}).Next(ctx)
	if err == io.EOF { // and nothing that wraps it: a connection that breaks says so too
		return nil
	}
	return Explain(err)
}
