// Package deploy holds what docker-compose.yml hands to its containers, and the
// tests that hold all of it to the code: users, permissions, settings, versions.
//
//	nats.conf        the NATS server
//	nats-users.conf  its users, made from eventlog.PermissionsOf
//	roles.sql        the users of Postgres
//	env.example      what has to be filled in
package deploy

//go:generate go test -run TestNATSUsers -update .
