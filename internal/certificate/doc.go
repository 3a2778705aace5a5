// Package certificate holds the certificates of TLS connections: [Files] reads one from files
// and reads it again when they change, [Authority] issues certificates for a private network,
// and [Settings.Explain] says what to do about a handshake that failed.
package certificate
