package problem

// A Kind of problem. Programs depend on its name, so the meaning of a name never changes.
type Kind struct {
	Status int    // of HTTP
	Name   string // the last part of Type
	Title  string // for people
}

// Type is the type of the kind in a problem document (RFC 9457).
func (k Kind) Type() string { return "/problems/" + k.Name }

// Kinds returns all kinds.
func Kinds() []Kind { return kinds }

var kinds []Kind

func kind(status int, name, title string) Kind {
	k := Kind{status, name, title}
	kinds = append(kinds, k)
	return k
}

// Errors in the form of a request.
var (
	BadRequest     = kind(400, "bad-request", "The request can't be read")
	CrossOrigin    = kind(403, "cross-origin", "The request comes from another site")
	NotEncrypted   = kind(403, "not-encrypted", "The request was not encrypted")
	NotFound       = kind(404, "not-found", "There is no such thing")
	WrongMethod    = kind(405, "method-not-allowed", "That can't be done here")
	TooSlow        = kind(408, "request-timeout", "The request came too slowly")
	TooLarge       = kind(413, "too-large", "The request is too large")
	Unsupported    = kind(415, "unsupported-media-type", "The content type is not understood")
	InvalidRequest = kind(422, "invalid-request", "The request is not valid")
	TooMany        = kind(429, "too-many-requests", "Too many tries")
)

// Errors of authentication and authorisation.
var (
	Unauthenticated      = kind(401, "unauthenticated", "You are not signed in")
	WrongCredentials     = kind(401, "wrong-credentials", "Signing in failed")
	WrongCode            = kind(401, "wrong-code", "Signing in failed")
	SecondFactorRequired = kind(401, "second-factor-required", "A code is needed")
	NotSigned            = kind(401, "not-signed", "The post is not signed")
	Forbidden            = kind(403, "forbidden", "You may not do that")
	SecondFactorDue      = kind(403, "second-factor-due", "A second factor has to be set up")
	SessionNeeded        = kind(403, "session-needed", "You have to sign in for that")
	OwnErasure           = kind(403, "own-erasure", "It takes two people")
	NewAdministrator     = kind(403, "new-administrator", "It takes two people")
	TwoPeople            = kind(403, "two-people", "It takes two people")
)

// Conflicts with the state of a message, a staff member or another object.
var (
	AudienceChanged   = kind(409, "audience-changed", "The recipients have changed")
	TooLate           = kind(409, "too-late", "It is too late for that")
	ClinicChanged     = kind(409, "clinic-changed", "The clinic's details have changed")
	LastAdministrator = kind(409, "last-administrator", "One staff member must be able to manage staff")
	OwnAccount        = kind(409, "own-account", "You can’t do that to your own account")
	StaffExists       = kind(409, "staff-exists", "There is a staff member with this address")
	StaffDisabled     = kind(409, "staff-disabled", "The staff member is disabled")
	StaffNotDisabled  = kind(409, "staff-not-disabled", "The staff member is not disabled")
	TooManyWordings   = kind(409, "too-many-wordings", "There are too many saved wordings")
	WordingChanged    = kind(409, "wording-changed", "The wording has changed")
	TooManyTokens     = kind(409, "too-many-tokens", "There are too many API tokens")
	ParkedSettled     = kind(409, "already-settled", "The parked event is settled already")
	ParkedNotRetried  = kind(409, "not-retriable", "The parked event can't be retried")
	ErasureRequested  = kind(409, "erasure-requested", "It was asked for before")
	ErasureSettled    = kind(409, "erasure-settled", "It was settled before")
	GrantSettled      = kind(409, "grant-settled", "It was settled before")
	EmergencyOver     = kind(409, "emergency-over", "The emergency access has ended")
	EmergencyOpen     = kind(409, "emergency-open", "The emergency access can still be used")
	EmergencyReviewed = kind(409, "emergency-reviewed", "It was reviewed before")
	HasAddress        = kind(409, "has-address", "The portal user has an e-mail address")
	LetterMade        = kind(409, "letter-made", "The letter was made before")
	InvitationsEnded  = kind(409, "invitations-ended", "The invitations are not running")
	MessageGoingOut   = kind(409, "message-going-out", "The message is on its way still")
	NamesOthers       = kind(409, "receipt-names-others", "The receipt names other people")
	MessageRecalled   = kind(410, "message-recalled", "The message was taken back")
	MessageErased     = kind(410, "message-erased", "The message was erased")
	AttachmentSize    = kind(413, "attachment-too-large", "The file is too large")
	AttachmentRefused = kind(422, "attachment-refused", "The file can't be attached")
	KeyReused         = kind(422, "idempotency-key-reused", "The Idempotency-Key belongs to another message")
)

// Errors on our side.
var (
	Internal           = kind(500, "internal", "Something went wrong on our side")
	ContentMissing     = kind(500, "content-missing", "The message's content is missing")
	Unavailable        = kind(503, "unavailable", "The service is not available right now")
	NotReady           = kind(503, "not-ready", "Not ready")
	RecordUnavailable  = kind(503, "record-unavailable", "Messages can't be recorded right now")
	ErasureUnfinished  = kind(503, "erasure-unfinished", "The erasure is recorded but not finished")
	EmailUnavailable   = kind(503, "email-unavailable", "No e-mail can be sent right now")
	ScannerUnavailable = kind(503, "scanner-unavailable", "The file can't be checked right now")
)
