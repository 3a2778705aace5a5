// Package text is the room of how text is read and compared before it is used: its
// encoding (charset), names as people type them (folding), characters that can't be
// seen (invisible), e-mail addresses (address), and sizes for people (size). It has no
// code of its own.
package text
