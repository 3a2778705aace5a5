// Package field defines the values of the directory's fields: which ids and addresses are
// allowed, how a day is counted, and the words for relationships. They are the same for
// every kind of file. The package does no I/O.
package field

import (
	"time"

	"postern/internal/limits"
	"postern/internal/text/address"
	"postern/internal/text/invisible"
)

// CheckID returns the reason why a text can't be an id, or "".
func CheckID(id string) (reason string) {
	switch {
	case id == "":
		return "is missing"
	case len(id) > int(limits.DirectoryID):
		return "is longer than " + limits.DirectoryID.String()
	case IsID(id):
		return ""
	}
	for _, c := range id {
		if c != ' ' && invisible.Is(c) {
			return "contains " + invisible.Name(c) + ": it may hold only letters A to Z, digits, '.', '_' and '-'"
		}
	}
	return "may hold only letters A to Z, digits, '.', '_' and '-'"
}

// IsID reports whether a text is allowed as an id.
func IsID[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > int(limits.DirectoryID) {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Date is a calendar day, or none.
type Date struct {
	Day int32 // as [Day] counts; 0 if not set
	Set bool
}

// DateOf returns the calendar day of a time in its time zone.
func DateOf(t time.Time) Date { return Date{Day(t), true} }

// Day returns the calendar day of a time in its time zone, as Postgres sends a date: days
// since 2000-01-01.
func Day(t time.Time) int32 {
	year, month, day := t.Date()
	const epoch = 946684800                                                                  // 2000-01-01 in Unix seconds
	return int32((time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() - epoch) / 86400) // #nosec G115 -- a date has 7 digits at most
}

// Time returns the midnight, in UTC, at which a day begins. It is the inverse of [Day].
func Time(day int32) time.Time { return time.Date(2000, 1, 1+int(day), 0, 0, 0, 0, time.UTC) }

// CheckEmail returns the reason why an address can't be used, or "". A blank text means
// no address and is allowed. Accepted addresses are stored as CleanEmail returns them.
func CheckEmail(email string) (reason string) {
	_, reason = CleanEmail(email)
	return reason
}

// CleanEmail returns an address in its stored form, for every kind of file: without
// invisible characters, "" for none. See [address.Clean].
func CleanEmail(email string) (clean, reason string) {
	if invisible.Trim(email) == "" {
		return "", ""
	}
	clean, err := address.Clean(email)
	if err != nil {
		return "", err.Error()
	}
	return clean, ""
}

// The relationships of a link.
const (
	Self           = "self"
	Representative = "representative"
)
