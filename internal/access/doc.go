// Package access authenticates staff and portal users and manages their accounts.
//
// # Authorisation
//
// One table in package policy says which permissions each [policy.Action] needs.
// [policy.Allow] reads it, and nothing else in Postern compares permissions.
//
// # Authentication
//
// A [policy.Subject] is an authenticated staff member or portal user. They sign in with a
// password, and their second factor if they have one, with a passkey alone (package passkey), or
// through their organisation's identity provider (package oidc), and then hold a session
// cookie. Staff can also use an API token, which permits no more than its owner may do at
// the time, and none of the actions that need a session. Every request loads its Subject
// again, so a revoked permission or token, a disabled account, an inactive account or an
// ended session takes effect at the next request.
//
//	mux.Handle("/v1/portal/", gate.Portal(portalAPI)) // sessions of portal users
//	mux.Handle("/v1/", gate.Staff(staffAPI))          // API tokens and sessions of staff
//
//	subject, err := access.SubjectFrom(ctx)           // ErrUnauthenticated
//	err = policy.Allow(subject, policy.SendToGroup)   // ErrForbidden, naming the permission
//
// # Ordering and durability
//
// Staff, their permissions, whether their account is disabled, whether it is linked to an
// identity at the organisation, which API tokens they have, and which second factors and
// recovery codes anyone has are record-first: a change is published as an event, acknowledged,
// and then read back from the recorder's tables. Only credentials (addresses, password hashes,
// sealed secrets, public keys of passkeys, links, hashes of tokens and identities, sessions) are
// written here. A password is recorded before it works, and a link before anyone has its token.
// A sign-in whose event can't be published fails.
// Failures of strangers beyond the first few of a source in a minute are counted, and published
// after the minute: a crash loses these counts.
//
// E-mail addresses, passwords and tokens are in no event, log line or error.
//
// All functions may be called concurrently, and from many processes at once.
//
// # Size
//
// Sessions, passwords, second factors, links and tokens are one package: each sign-in
// reads and counts several of them in one transaction, and disabling an account or
// changing a password ends all of them. What needs no account (which passwords are
// allowed and which is checked next, the provider's protocol, e-mails with links, counts,
// permissions) is in the packages below.
package access
