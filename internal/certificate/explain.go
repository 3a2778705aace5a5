package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Settings has the names of the settings of a TLS connection, for the operator who has to correct
// one of them.
type Settings struct {
	Address     string // of the server
	Authority   string // the file with the authority that signed the server's certificate
	Certificate string // of this client
	Key         string
}

// Explain adds to the error of a connection what to do about it. It returns an error that has
// nothing to do with TLS unchanged.
func (s Settings) Explain(err error) error {
	if advice := s.advice(err); advice != "" {
		return fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

func (s Settings) advice(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown):
		return fmt.Sprintf("the server's certificate is signed by an authority that this process does not know: name the file with the right one in %s", s.Authority)
	case errors.As(err, &name):
		return fmt.Sprintf("the server's certificate is for another name: use one of its names in %s, or issue a certificate for this name", s.Address)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired or is not valid yet: renew it, or correct this machine's clock"
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "certificate required"), strings.Contains(text, "requires a valid client certificate"):
		return fmt.Sprintf("the server asks for a certificate of this client: set %s and %s", s.Certificate, s.Key)
	case strings.Contains(text, "unknown certificate authority"), strings.Contains(text, "bad certificate"), strings.Contains(text, "expired certificate"):
		return fmt.Sprintf("the server refuses the certificate in %s: have a new one issued by the authority that the server trusts", s.Certificate)
	case strings.Contains(text, "refused TLS connection"), strings.Contains(text, "secure connection not available"):
		return fmt.Sprintf("the server does not offer TLS: set it up there, or correct %s", s.Address)
	}
	return ""
}
