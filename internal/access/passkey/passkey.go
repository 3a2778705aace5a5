// Package passkey makes and checks passkeys: keys of WebAuthn, which sign a challenge for the
// one site that they were made for.
//
// A ceremony has two steps. Begin… returns the options for the browser's
// navigator.credentials, and a state to keep until the answer, in the session and for one use.
// Finish… checks the answer against the state.
//
//	options, state, err := party.BeginAdd(person)
//	credential, err := party.FinishAdd(person, state, answer)
//
// A passkey belongs to the host of PUBLIC_URL. If the host changes, its passkeys no longer
// work. The package does no I/O.
package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

var (
	// ErrWrong says that an answer does not match its state, or that its signature is wrong.
	ErrWrong = errors.New("the answer of the passkey is wrong")
	// ErrUnknown says that an answer is that of an unknown passkey.
	ErrUnknown = errors.New("the passkey is unknown")
	// ErrCloned says that the counter of a passkey went backwards: there may be a copy of it.
	ErrCloned = errors.New("the counter of the passkey went backwards")
)

// local is the name of this machine, for which browsers allow passkeys over plain HTTP.
const local = "localhost"

// Party is the site for which passkeys are made.
type Party struct {
	web  *webauthn.WebAuthn
	host string
}

// New makes the Party of the site at publicURL. It returns nil if there can be none: WebAuthn
// needs a name as host, not an IP address. A loopback address stands for localhost.
func New(publicURL, name string) (*Party, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the site: %w", err)
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ip.IsLoopback() {
			return nil, nil
		}
		host = local
	}
	origin := url.URL{Scheme: u.Scheme, Host: host}
	if u.Port() != "" {
		origin.Host = net.JoinHostPort(host, u.Port())
	}
	web, err := webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: name, RPOrigins: []string{origin.String()},
		AttestationPreference: protocol.PreferNoAttestation,
		// Discoverable where the authenticator can: such a key signs in without a password.
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred},
	})
	if err != nil {
		return nil, fmt.Errorf("setting up passkeys for %s: %w", host, err)
	}
	return &Party{web, host}, nil
}

// Host is the host that passkeys are made for.
func (p *Party) Host() string { return p.host }

// At reports whether passkeys work on a page of this host, which may have a port. A nil Party
// has none. A site with a name is reached by it, whatever host a proxy passes on; on this machine
// people also use the address, where browsers refuse passkeys.
func (p *Party) At(host string) bool {
	if p == nil {
		return false
	}
	if p.host != local {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == p.host
}

// Credential is a passkey, without its private key.
type Credential struct {
	ID        []byte
	PublicKey []byte // COSE
	SignCount uint32
	// BackupEligible is set if the passkey can be copied to other devices of its owner.
	BackupEligible bool
	Transports     []string
}

// Person is the owner of passkeys. Handle names them to an authenticator, and says nothing
// about who they are.
type Person struct {
	Handle      []byte
	Name        string // the e-mail address
	DisplayName string
	Credentials []Credential
}

// BeginAdd begins to make a passkey. An authenticator that has one of the person is left out.
func (p *Party) BeginAdd(person Person) (options, state string, err error) {
	creation, session, err := p.web.BeginRegistration(user{person}, webauthn.WithExclusions(webauthn.Credentials(user{person}.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return "", "", fmt.Errorf("beginning to make a passkey: %w", err)
	}
	return texts(creation.Response, session)
}

// FinishAdd returns the new passkey. It fails with [ErrWrong].
func (p *Party) FinishAdd(person Person, state, answer string) (Credential, error) {
	session, err := sessionOf(state)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return Credential{}, wrong(err)
	}
	made, err := p.web.CreateCredential(user{person}, session, parsed)
	if err != nil {
		return Credential{}, wrong(err)
	}
	c := Credential{ID: made.ID, PublicKey: made.PublicKey, SignCount: made.Authenticator.SignCount, BackupEligible: made.Flags.BackupEligible, Transports: []string{}}
	for _, t := range made.Transport {
		c.Transports = append(c.Transports, string(t))
	}
	return c, nil
}

// BeginUse begins to use one of a person's passkeys, after their password.
func (p *Party) BeginUse(person Person) (options, state string, err error) {
	assertion, session, err := p.web.BeginLogin(user{person})
	if err != nil {
		return "", "", fmt.Errorf("beginning to use a passkey: %w", err)
	}
	return texts(assertion.Response, session)
}

// FinishUse returns the passkey that the person used, with its new counter. It fails with
// [ErrWrong] and [ErrCloned].
func (p *Party) FinishUse(person Person, state, answer string) (Credential, error) {
	session, err := sessionOf(state)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return Credential{}, wrong(err)
	}
	used, err := p.web.ValidateLogin(user{person}, session, parsed)
	return usedCredential(used, err)
}

// BeginSignIn begins a sign-in with a passkey alone: the authenticator finds the passkey, and must
// verify its user, by a PIN or a fingerprint.
func (p *Party) BeginSignIn() (options, state string, err error) {
	assertion, session, err := p.web.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return "", "", fmt.Errorf("beginning to sign in with a passkey: %w", err)
	}
	return texts(assertion.Response, session)
}

// FinishSignIn returns the passkey with which a person signed in, with its new counter. find returns
// the owner of a passkey, or fails with [ErrUnknown]. FinishSignIn fails with that, with [ErrWrong]
// or [ErrCloned].
func (p *Party) FinishSignIn(state, answer string, find func(credentialID []byte) (Person, error)) (Credential, error) {
	session, err := sessionOf(state)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return Credential{}, wrong(err)
	}
	person, err := find(parsed.RawID)
	if err != nil {
		return Credential{}, err
	}
	used, err := p.web.ValidateDiscoverableLogin(func(_, _ []byte) (webauthn.User, error) { return user{person}, nil }, session, parsed)
	return usedCredential(used, err)
}

func usedCredential(used *webauthn.Credential, err error) (Credential, error) {
	if err != nil {
		return Credential{}, wrong(err)
	}
	c := Credential{ID: used.ID, PublicKey: used.PublicKey, SignCount: used.Authenticator.SignCount, BackupEligible: used.Flags.BackupEligible}
	if used.Authenticator.CloneWarning {
		return c, ErrCloned
	}
	return c, nil
}

// wrong keeps the reason of the library, without the values that it compared.
func wrong(err error) error {
	if failure := new(protocol.Error); errors.As(err, &failure) {
		return fmt.Errorf("%w: %s", ErrWrong, failure.Details)
	}
	return fmt.Errorf("%w: %w", ErrWrong, err)
}

// texts writes the options and the state as JSON.
func texts(options any, session *webauthn.SessionData) (string, string, error) {
	forBrowser, err := json.Marshal(options)
	if err != nil {
		return "", "", fmt.Errorf("writing the options of a passkey: %w", err)
	}
	state, err := json.Marshal(session)
	if err != nil {
		return "", "", fmt.Errorf("writing the state of a passkey: %w", err)
	}
	return string(forBrowser), string(state), nil
}

func sessionOf(state string) (s webauthn.SessionData, err error) {
	if err := json.Unmarshal([]byte(state), &s); err != nil {
		return s, fmt.Errorf("reading the state of a passkey: %w", err)
	}
	return s, nil
}

// user is a [Person] for the library.
type user struct{ Person }

func (u user) WebAuthnID() []byte          { return u.Handle }
func (u user) WebAuthnName() string        { return u.Name }
func (u user) WebAuthnDisplayName() string { return u.DisplayName }

func (u user) WebAuthnCredentials() []webauthn.Credential {
	var all []webauthn.Credential
	for _, c := range u.Credentials {
		one := webauthn.Credential{ID: c.ID, PublicKey: c.PublicKey, Flags: webauthn.CredentialFlags{BackupEligible: c.BackupEligible},
			Authenticator: webauthn.Authenticator{SignCount: c.SignCount}}
		for _, t := range c.Transports {
			one.Transport = append(one.Transport, protocol.AuthenticatorTransport(t))
		}
		all = append(all, one)
	}
	return all
}
