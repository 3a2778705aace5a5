// Package client goes with the Go client (postern/client) through a whole system, from an upload
// to a portal user who reads it and a record that shows it.
package client
