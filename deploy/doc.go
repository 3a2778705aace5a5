// Package deploy holds the files that docker-compose.yml gives to its containers, and
// tests that compare them with the code: users, permissions, settings, versions.
//
//	nats.conf        the NATS server
//	nats-users.conf  its users, generated from eventlog.PermissionsOf
//	roles.sql        the users of Postgres
//	pg_hba.conf      who may connect to Postgres, and how
//	env.example      the settings to fill in
package deploy

//go:generate go test -run TestNATSUsers -update .
