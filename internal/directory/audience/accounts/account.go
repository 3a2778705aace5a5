// Package accounts reads the accounts of portal users with their links, as fast as the
// database sends them. It reads what the rules of package audience need, and knows no rule.
package accounts

// Account is a portal user with the data that the rules need.
type Account struct {
	No        int32
	ID        string
	Active    bool
	Addressed bool   // has an e-mail address
	Links     []Link // in order of patient number
}

// Link is a link of an account, with the data that the rules need about its patient.
type Link struct {
	PatientNo  int32
	PatientID  string
	Self       bool // the portal user is the patient, not a representative
	Discharged bool // the patient
	Deceased   bool // the patient
	Term       Term
}

// Term says whether a day is within a link's dates.
type Term uint8

// The day is within the dates, after the last day, or before the first one.
const (
	InForce Term = iota
	Ended
	NotBegun
)
