package problem

// Advice says what a client does about a problem of the kind. It is part of the API's
// description.
func (k Kind) Advice() string { return advice[k.Name] }

// advice maps the names of kinds to what a client does about them. A test fails for a kind without.
var advice = map[string]string{ // #nosec G101 -- sentences
	"bad-request":            "Send valid HTTP and JSON in UTF-8. `errors` says where the request can't be read.",
	"cross-origin":           "Call the API from the clinic's own pages, or with an API token.",
	"not-encrypted":          "Call the API by https.",
	"not-found":              "Check the id. What the caller may not see is answered in the same way.",
	"method-not-allowed":     "Use a method that the header `Allow` names.",
	"request-timeout":        "Send the whole body without a pause.",
	"too-large":              "Send less: the operation says how much it takes.",
	"unsupported-media-type": "Send the body in the media type that the operation names.",
	"invalid-request":        "Correct the fields that `errors` names. Nothing was stored.",
	"too-many-requests":      "Wait for the seconds that the header `Retry-After` says.",

	"unauthenticated":        "Sign in, or send a valid API token.",
	"wrong-credentials":      "Check the e-mail address and the password.",
	"wrong-code":             "Send the code that the authenticator app shows now.",
	"second-factor-required": "Sign in again, with the code in `totp`.",
	"not-signed":             "For the webhook of SendGrid: sign the post with the key that the clinic has set.",
	"forbidden":              "Ask an administrator for the permission that the operation names.",
	"second-factor-due":      "Set up a second factor on the page Account. API tokens need none.",
	"session-needed":         "Sign in: an API token may not do this.",
	"own-erasure":            "Ask another staff member to approve the erasure.",
	"new-administrator":      "Ask an administrator of longer standing.",
	"two-people":             "Ask another staff member to approve it.",

	"audience-changed":     "Show `preview` to the sender. Send again with its digest if they agree.",
	"too-late":             "Read the object: it is no longer in a state that allows this.",
	"clinic-changed":       "Read the details again, and send the change with their `version`.",
	"wording-changed":      "Read the wordings again, and send the change with the `version` of this one.",
	"too-many-wordings":    "Delete a wording that is no longer used.",
	"last-administrator":   "Give another staff member the permission to manage staff first.",
	"own-account":          "Ask another administrator.",
	"staff-exists":         "Use another e-mail address, or change the account that has this one.",
	"staff-disabled":       "Enable the account first.",
	"staff-not-disabled":   "Disable the account first.",
	"too-many-tokens":      "Revoke API tokens that are no longer needed.",
	"already-settled":      "Nothing more is to be done: the parked event was retried or discarded.",
	"not-retriable":        "Discard the event: what is stored is not an event.",
	"erasure-requested":    "Approve or withdraw the request that is open.",
	"erasure-settled":      "Nothing more is to be done: the request was approved or withdrawn.",
	"grant-settled":        "Nothing more is to be done: the request was approved, withdrawn or has expired.",
	"emergency-over":       "Open emergency access again, with the reason.",
	"emergency-open":       "End the access first, or wait until its time ends.",
	"emergency-reviewed":   "Nothing more is to be done: it was reviewed.",
	"has-address":          "Send the portal user a link by e-mail.",
	"letter-made":          "Make a new letter, which ends the former code.",
	"invitations-ended":    "Nothing more is to be done: the run has ended.",
	"message-going-out":    "Wait until the message is sent. Then try again.",
	"receipt-names-others": "Ask the clinic for the receipt: staff can issue it.",

	"message-recalled":     "The content can't be read any more: its sender took it back.",
	"message-erased":       "The content can't be read any more: two staff members erased it.",
	"attachment-too-large": "Send a smaller document.",
	"attachment-refused":   "Send a document of an allowed type that has content and no virus.",

	"idempotency-key-reused": "Use a new Idempotency-Key for a new message.",

	"internal":            "Tell the clinic's administrator the `instance`: the log has it. A retry does not help.",
	"content-missing":     "Tell the clinic's administrator the `instance`: the content can't be found.",
	"unavailable":         "Try again after the seconds that the header `Retry-After` says. A retry is safe.",
	"not-ready":           "Wait: the process starts, or a store is not reached.",
	"record-unavailable":  "Try again after the seconds that the header `Retry-After` says, with the same Idempotency-Key.",
	"erasure-unfinished":  "Approve again: the rest is erased.",
	"email-unavailable":   "Try again later, or give the person the link another way.",
	"scanner-unavailable": "Try again later. The document was not kept.",
}
