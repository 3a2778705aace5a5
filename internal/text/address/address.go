// Package address defines which e-mail addresses Postern accepts, for every source: an
// import, a form, the API, a verb, a setting.
//
// It accepts the same bare addresses as SendGrid: the addr-spec of RFC 5322 with a local
// part of ASCII that needs no quotes, and a domain that can be a name in the DNS. A domain
// in other letters is stored in its ASCII form (RFC 5890). SendGrid does not send to a
// local part outside ASCII (SMTPUTF8, RFC 6531).
package address

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"postern/internal/text/invisible"
)

const (
	longest       = 254 // bytes: RFC 5321, section 4.5.3.1.3, without the angle brackets
	longestLocal  = 64  // bytes: RFC 5321, section 4.5.3.1.1
	longestDomain = 253 // bytes: RFC 1035, section 2.3.4, as text
	longestLabel  = 63  // bytes: RFC 1035, section 2.3.4
)

// errForm is the error for a text that does not have the form of an address.
var errForm = errors.New("is not an e-mail address of the form name@example.org")

// Clean returns the address in a text, without invisible characters at either end and
// without zero-width characters at any place. A domain becomes ASCII; the case stays
// unchanged. Cleaning a clean address returns the same address.
//
// Its error is the end of a sentence that begins with the name of the field ("is not…",
// "has two dots…"). Of the text it quotes at most one character, by its Unicode name.
func Clean(text string) (string, error) {
	text = invisible.Trim(text)
	switch i, r := firstMatch(text, invisible.IsBlank); {
	case r == ' ':
		return "", errForm
	case i >= 0:
		return "", fmt.Errorf("contains %s after %s: an address has no blanks inside", invisible.Name(r), characters(text[:i]))
	}
	text = invisible.RemoveWidthless(text)
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		if i, r := firstMatch(text, beyondASCII); i >= 0 {
			return "", fmt.Errorf("%w: it contains %s after %s", errForm, invisible.Name(r), characters(text[:i]))
		}
		return "", errForm
	}
	if err := checkLocal(text[:at]); err != nil {
		return "", err
	}
	domain, err := cleanDomain(text[at+1:])
	if err != nil {
		return "", err
	}
	if at+1+len(domain) > longest {
		return "", fmt.Errorf("is longer than %d characters", longest)
	}
	return text[:at+1] + domain, nil
}

// Mailbox returns the name and the clean address of a text such as "Clinic
// <alerts@clinic.example>", or of an address alone. It returns the same errors as [Clean].
func Mailbox(text string) (*mail.Address, error) {
	box, err := mail.ParseAddress(invisible.Trim(text))
	if err != nil {
		return nil, errForm
	}
	box.Address, err = Clean(box.Address)
	if err != nil {
		return nil, err
	}
	return box, nil
}

// Typed returns an address that a person typed to sign in or to search: clean if it is
// valid, and otherwise without the blanks around it.
func Typed(text string) string {
	if clean, err := Clean(text); err == nil {
		return clean
	}
	return invisible.Trim(text)
}

func beyondASCII(r rune) bool { return r >= 0x80 }

// firstMatch returns the byte index of the first character that matches, and the
// character; the index is -1 if none does.
func firstMatch(text string, matches func(rune) bool) (at int, r rune) {
	for i, r := range text {
		if matches(r) {
			return i, r
		}
	}
	return -1, 0
}

// characters returns the number of characters with its unit.
func characters(text string) string {
	n := len([]rune(text))
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}

func checkLocal(local string) error {
	switch i, r := firstMatch(local, beyondASCII); {
	case local == "":
		return fmt.Errorf("%w: there is nothing before the @", errForm)
	case i >= 0:
		return fmt.Errorf("contains %s after %s: before the @ only ASCII letters, digits and signs are supported", invisible.Name(r), characters(local[:i]))
	case len(local) > longestLocal:
		return fmt.Errorf("has more than %d characters before the @", longestLocal)
	case strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`):
		return errors.New("has quotes around the part before the @, which are not supported")
	case strings.Contains(local, ".."):
		return errors.New("has two dots in a row before the @")
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, "."):
		return errors.New("begins with a dot, or has a dot directly before the @")
	}
	const signs = "!#$%&'*+-/=?^_`{|}~." // RFC 5322, section 3.2.3: atext
	for _, c := range []byte(local) {
		if !isAlphanumeric(c) && strings.IndexByte(signs, c) < 0 {
			return errForm
		}
	}
	return nil
}

// cleanDomain returns the ASCII form of a domain that a mail server can have.
func cleanDomain(domain string) (string, error) {
	if strings.HasPrefix(domain, "[") || isDottedNumber(domain) {
		return "", errors.New("has an IP address after the @: write a domain name")
	}
	if i, _ := firstMatch(domain, beyondASCII); i >= 0 || strings.Contains(strings.ToLower(domain), "xn--") {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", fmt.Errorf("%w after the @: no domain can have that name", errLetters(domain))
		}
		domain = ascii
	}
	if len(domain) > longestDomain {
		return "", fmt.Errorf("has more than %d characters after the @", longestDomain)
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	if len(labels) < 2 {
		return "", fmt.Errorf("%w: the domain after the @ has no dot", errForm)
	}
	return domain, nil
}

// errLetters returns an error with the first letter of a domain that is not ASCII, if
// there is one.
func errLetters(domain string) error {
	if i, r := firstMatch(domain, beyondASCII); i >= 0 {
		return fmt.Errorf("contains %s", invisible.Name(r))
	}
	return errors.New("has an invalid part beginning with xn--")
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("%w: the domain after the @ begins or ends with a dot, or has two in a row", errForm)
	case len(label) > longestLabel:
		return fmt.Errorf("has a part of more than %d characters between the dots of its domain", longestLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return errors.New("has a hyphen beside a dot or at an end of its domain")
	}
	for _, c := range []byte(label) {
		if c == '_' {
			return errors.New("has an underscore in its domain")
		}
		if !isAlphanumeric(c) && c != '-' {
			return errForm
		}
	}
	return nil
}

// isDottedNumber reports whether the last label is a number, as in an IPv4 address. No
// top-level domain is a number (RFC 3696, section 2).
func isDottedNumber(domain string) bool {
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
