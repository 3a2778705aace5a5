// Package text is the room of how text is read and compared before it is used: its
// encoding (charset), names as people type them (folding), characters that can't be
// seen (invisible), e-mail addresses (address), and of how numbers (number) and sizes
// (size) are written for people. It has no code of its own.
package text
