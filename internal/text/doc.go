// Package text groups the packages that read, clean and compare text: its encoding
// (charset), names as people type them (folding), invisible characters (invisible),
// e-mail addresses (address), and sizes for people (size). It has no code of its own.
package text
