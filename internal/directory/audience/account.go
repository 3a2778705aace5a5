package audience

// account is a portal user with the data that the rules need.
type account struct {
	no        int32
	id        string
	active    bool
	addressed bool
	links     []link // in order of patient number
}

// link is a link of an account, with the data that the rules need about its patient.
type link struct {
	patientNo  int32
	patientID  string
	self       bool
	discharged bool
	deceased   bool
	term       term
}

// term says whether a day is within a link's dates.
type term uint8

const (
	inForce term = iota
	ended
	notBegun
)
