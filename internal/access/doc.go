// Package access decides who may do what, and how they show who they are.
//
// # Who may do what
//
// One table in policy.go says which permissions each [Action] needs. [Allow]
// reads it, and nothing else in Postern compares permissions.
//
// # Who is who
//
// A [Subject] is a staff member or a portal user who has shown who they are: by
// a password, for staff with a code of their second factor where they have one, or
// by what their organisation vouches for (package organisation), and then a session
// cookie; or by an API token. Every request loads its Subject afresh, so that a
// permission taken away, a staff member disabled, an account made inactive or a
// session ended counts from the next request on.
//
//	mux.Handle("/v1/portal/", gate.Portal(portalAPI)) // sessions of portal users
//	mux.Handle("/v1/", gate.Staff(staffAPI))          // API tokens and sessions of staff
//
//	subject, err := access.SubjectFrom(ctx)           // ErrUnauthenticated
//	err = policy.Allow(subject, policy.SendToGroup)   // ErrForbidden, naming the permission
//
// # Ordering and durability
//
// Staff, their permissions, whether they may come in and which second factor is
// asked for are record-first: what changes them is published, acknowledged, and then
// read back from the recorder's tables. Only what proves an identity (addresses,
// password hashes, sealed secrets, tokens, sessions) is written here.
// A sign-in that can't be put on the record does not succeed.
//
// E-mail addresses, passwords and tokens are in no event, log line or error.
//
// Everything may be called concurrently, and from many processes at once.
package access
