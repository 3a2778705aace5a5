package webtest

import (
	"context"
	"strings"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// HasAuthenticator gives the browser an authenticator for passkeys, as a phone has: it verifies its
// user and says yes to every request. From now on the browser opens the site by the name localhost,
// because browsers have no passkeys for an IP address.
func (b *Browser) HasAuthenticator() {
	b.t.Helper()
	b.base = strings.Replace(b.base, "127.0.0.1", "localhost", 1)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
		return err
	}))
}
