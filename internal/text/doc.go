// Package text groups the packages that read, clean and compare text: its encoding
// (charset), names as people type them (folding), invisible characters (invisible) and
// e-mail addresses (address); and those that write numbers (number) and sizes (size) for
// people, and texts as QR codes (qr). It has no code of its own.
package text
