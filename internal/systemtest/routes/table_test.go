package routes_test

// The callers that a route can ask for. Other values of rule.needs are permissions, one of which
// is enough, separated by spaces.
const (
	everyone    = "everyone"
	staff       = "staff"
	portalUsers = "portal users"
	halfway     = "who has given a password and not yet a code" // none of the callers
	sendGrid    = "SendGrid, by its signature"                  // none of the callers
	absent      = "no one: nothing is there"
)

// The permissions, by hand.
const (
	send    = "send_portal_message send_bulk_portal_message"
	bulk    = "send_bulk_portal_message"
	replays = "replay_deliveries"
	record  = "read_record"
	manage  = "manage_staff"
	erase   = "erase_content"
	words   = "manage_labels"
	face    = "manage_clinic"
	imports = "import_directory"
	urgent  = "emergency_access"
)

// nobodyElse owns an object alone. What is owned by no one is not at the address, even for Olga.
const (
	nobodyElse = "nobody else"
	noOne      = "no one"
)

// A rule says what callers of one route get.
type rule struct {
	route string // as the router has it
	needs string // who may call it
	at    string // the address, if it is not in route. Braces stand for objects of the clinic
	body  string // of a request that has one: JSON for the API, a form for a page

	// owned is set if the object in the address belongs to the owner: another caller who may call
	// the route gets 404, unless they have one of these permissions.
	owned string
	// others is what these callers get instead of 404: a status, and where a redirect leads.
	others string
	// alike: the owner gets the answer in others too, and only the owner's call changes something.
	alike bool
	// session: an API token is refused, whatever it permits.
	session bool
	// due: also staff who must set up a second factor first.
	due bool
	// once: the first permitted call removes the object, so that there is only one.
	once bool
	// late: the permitted call ends objects of other rows, which come first.
	late bool
	// last: the call ends the session of its caller, and leads to the sign-in page. That is also what
	// a caller gets who is not signed in.
	last bool
}

const (
	why       = `{"reason":"It went out by mistake."}`
	whyForm   = "reason=It+went+out+by+mistake."
	nothing   = `{}`
	emptyForm = "x="
)

var pages = []rule{
	// For everyone.
	{route: "/", needs: absent, at: "/nowhere"},
	{route: "/portal/", needs: absent, at: "/portal/nowhere"},
	{route: "GET /static/", needs: everyone, at: "/static/icon.svg"},
	{route: "GET /clinic/logo", needs: everyone},
	{route: "GET /clinic/style.css", needs: everyone},
	{route: "GET /portal/help", needs: everyone},
	{route: "GET /{$}", needs: everyone, at: "/"}, // leads to the first page of either kind of person
	{route: "GET /sign-in", needs: everyone},
	{route: "POST /sign-in", needs: everyone, body: emptyForm},
	{route: "GET /sign-in/code", needs: halfway},
	{route: "POST /sign-in/code", needs: halfway, body: "code=123456"},
	{route: "POST /sign-in/code/passkey", needs: halfway, body: "credential={}"},
	{route: "POST /sign-in/passkey", needs: everyone, body: emptyForm},
	{route: "POST /sign-in/passkey/confirm", needs: everyone, body: "credential={}"},
	{route: "GET /sign-in/organisation", needs: absent}, // this clinic has no identity provider
	{route: "GET /sign-in/organisation/back", needs: absent},
	{route: "POST /language", needs: everyone, body: "language=en"},
	{route: "POST /sign-out", needs: everyone, body: emptyForm, last: true},
	{route: "GET /forgotten", needs: everyone},
	{route: "POST /forgotten", needs: everyone, body: emptyForm},
	{route: "GET /forgotten/sent", needs: everyone},
	{route: "GET /sign-in/link", needs: everyone},
	{route: "POST /sign-in/link", needs: everyone, body: "link=x"},
	{route: "GET /portal/sign-in", needs: everyone},
	{route: "POST /portal/sign-in", needs: everyone, body: emptyForm},
	{route: "GET /portal/sign-in/code", needs: halfway},
	{route: "POST /portal/sign-in/code", needs: halfway, body: "code=123456"},
	{route: "POST /portal/sign-in/code/passkey", needs: halfway, body: "credential={}"},
	{route: "POST /portal/sign-in/passkey", needs: everyone, body: emptyForm},
	{route: "POST /portal/sign-in/passkey/confirm", needs: everyone, body: "credential={}"},
	{route: "POST /portal/language", needs: everyone, body: "language=en"},
	{route: "POST /portal/sign-out", needs: everyone, body: emptyForm, last: true},
	{route: "GET /portal/forgotten", needs: everyone},
	{route: "POST /portal/forgotten", needs: everyone, body: emptyForm},
	{route: "GET /portal/forgotten/sent", needs: everyone},
	{route: "GET /portal/letter", needs: everyone},
	{route: "POST /portal/letter", needs: everyone, body: emptyForm},
	{route: "GET /portal/invitation", needs: everyone},
	{route: "POST /portal/invitation", needs: everyone, body: "link=x"},

	{route: "GET /stop/{token}", needs: absent, at: "/stop/AAAAAAAAAAAAAAAAAAAAAA"}, // a token is good, or its page is not found
	{route: "POST /stop/{token}", needs: absent, at: "/stop/AAAAAAAAAAAAAAAAAAAAAA", body: "List-Unsubscribe=One-Click"},

	// For portal users.
	{route: "GET /portal", needs: portalUsers},
	{route: "GET /portal/messages/{id}", needs: portalUsers, at: "/portal/messages/{sent}", owned: nobodyElse},
	{route: "POST /portal", needs: portalUsers, body: "q=care"},
	{route: "POST /portal/messages/{id}/unread", needs: portalUsers, at: "/portal/messages/{sent}/unread", body: emptyForm, owned: nobodyElse},
	{route: "GET /portal/frame", needs: portalUsers},
	{route: "GET /portal/messages/{id}/documents/{document}/pdf", needs: portalUsers, at: "/portal/messages/{sent}/documents/{pdf}/pdf", owned: nobodyElse},
	{route: "GET /portal/messages/{id}/receipt", needs: portalUsers, at: "/portal/messages/{sent}/receipt", owned: nobodyElse},
	{route: "GET /portal/messages/{id}/documents/{document}", needs: portalUsers, at: "/portal/messages/{sent}/documents/{document}", owned: nobodyElse},
	{route: "GET /portal/messages/{id}/documents/{document}/show", needs: portalUsers, at: "/portal/messages/{sent}/documents/{document}/show", owned: nobodyElse},
	{route: "GET /portal/messages/{id}/documents/{document}/picture", needs: portalUsers, at: "/portal/messages/{sent}/documents/{picture}/picture", owned: nobodyElse},
	{route: "GET /portal/messages/{id}/documents/{document}/download", needs: portalUsers, at: "/portal/messages/{sent}/documents/{document}/download", owned: nobodyElse},
	{route: "GET /portal/account", needs: portalUsers},
	{route: "POST /portal/account/password", needs: portalUsers, body: emptyForm},
	{route: "POST /portal/account/sign-out-everywhere", needs: portalUsers, body: emptyForm, last: true},
	{route: "POST /portal/account/emails", needs: portalUsers, body: "emails=off"},
	{route: "GET /portal/account/sessions", needs: portalUsers},
	// For another's session the answer is that it has ended already.
	{route: "POST /portal/account/sessions/{id}/end", needs: portalUsers, at: "/portal/account/sessions/{adas-session}/end", body: emptyForm, owned: nobodyElse, others: "303 /portal/account/sessions", alike: true},
	{route: "POST /portal/account/sessions/end-others", needs: portalUsers, body: emptyForm, late: true},
	{route: "POST /portal/account/second-factor", needs: portalUsers, body: emptyForm},
	{route: "GET /portal/account/second-factor", needs: portalUsers},
	{route: "POST /portal/account/second-factor/confirm", needs: portalUsers, body: emptyForm},
	{route: "GET /portal/account/second-factor/passkey", needs: portalUsers},
	{route: "POST /portal/account/second-factor/passkey", needs: portalUsers, body: emptyForm},
	{route: "POST /portal/account/second-factor/passkey/confirm", needs: portalUsers, body: emptyForm},
	{route: "GET /portal/account/second-factor/recovery", needs: portalUsers},
	{route: "POST /portal/account/second-factor/recovery", needs: portalUsers, body: emptyForm},
	{route: "GET /portal/account/second-factor/{id}/remove", needs: portalUsers, at: "/portal/account/second-factor/{adas-factor}/remove", owned: nobodyElse},
	{route: "POST /portal/account/second-factor/{id}/remove", needs: portalUsers, at: "/portal/account/second-factor/{adas-factor}/remove", body: emptyForm, owned: nobodyElse},
	{route: "POST /portal/account/second-factor/no-offer", needs: portalUsers, body: emptyForm},
	{route: "POST /portal/session/keep", needs: portalUsers, body: emptyForm},

	// For all staff.
	{route: "GET /account", needs: staff, due: true, session: true},
	{route: "POST /account/notices", needs: staff, body: "emails=off", due: true, session: true},
	{route: "POST /account/sign-out-everywhere", needs: staff, body: emptyForm, due: true, session: true, last: true},
	{route: "POST /account/second-factor", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /account/second-factor", needs: staff, due: true, session: true},
	{route: "POST /account/second-factor/confirm", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /account/second-factor/passkey", needs: staff, due: true, session: true},
	{route: "POST /account/second-factor/passkey", needs: staff, body: emptyForm, due: true, session: true},
	{route: "POST /account/second-factor/passkey/confirm", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /account/second-factor/recovery", needs: staff, due: true, session: true},
	{route: "POST /account/second-factor/recovery", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /account/second-factor/{id}/remove", needs: staff, at: "/account/second-factor/{factor}/remove", owned: nobodyElse, due: true, session: true},
	{route: "POST /account/second-factor/{id}/remove", needs: staff, at: "/account/second-factor/{factor}/remove", body: emptyForm, owned: nobodyElse, due: true, session: true},
	{route: "GET /account/unlink", needs: staff, due: true, session: true},
	{route: "POST /account/unlink", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /account/password", needs: staff, due: true, session: true},
	{route: "POST /account/password", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /account/sessions", needs: staff, due: true, session: true},
	{route: "POST /account/sessions/{id}/end", needs: staff, at: "/account/sessions/{session}/end", body: emptyForm, owned: nobodyElse, others: "303 /account/sessions", alike: true, due: true, session: true},
	{route: "POST /account/sessions/end-others", needs: staff, body: emptyForm, due: true, session: true, late: true},
	// A token needs no second factor, so no one makes one while theirs is due.
	{route: "GET /account/tokens", needs: staff, session: true},
	{route: "POST /account/tokens", needs: staff, body: "name=By+page&scope=owner&days=7", session: true},
	{route: "POST /account/tokens/{id}/revoke", needs: staff, at: "/account/tokens/{token}/revoke", body: emptyForm, owned: nobodyElse, session: true},
	{route: "POST /session/keep", needs: staff, body: emptyForm, due: true, session: true},
	{route: "GET /search", needs: staff},
	{route: "POST /search", needs: staff, body: "q=care"},
	{route: "GET /messages/bcc", needs: staff},
	{route: "POST /messages/bcc", needs: staff, body: "q=care"},

	// Messages: their sender, their Staff Bcc and readers of the record see them.
	{route: "GET /messages", needs: staff},
	{route: "POST /messages", needs: staff, body: "q=care"},
	{route: "GET /messages/{id}", needs: staff, at: "/messages/{sent}", owned: record},
	{route: "GET /messages/{id}/{part}", needs: staff, at: "/messages/{sent}/progress", owned: record},
	{route: "GET /messages/{id}/{part}", needs: staff, at: "/messages/{sent}/recipients", owned: record},
	{route: "GET /messages/{id}/{part}", needs: staff, at: "/messages/{sent}/recipients.csv", owned: record},
	{route: "GET /messages/{id}/{part}", needs: staff, at: "/messages/{sent}/recall", owned: nobodyElse},
	{route: "POST /messages/{id}/{part}", needs: staff, at: "/messages/{sent}/recipients", body: "q=ada"}, // leads to the page above
	{route: "POST /messages/{id}/{part}", needs: send, at: "/messages/{scheduled}/cancel", body: emptyForm, owned: nobodyElse},
	{route: "POST /messages/{id}/{part}", needs: send, at: "/messages/{taken-back}/edit", body: emptyForm, owned: nobodyElse},
	{route: "POST /messages/{id}/{part}", needs: send, at: "/messages/{sent}/recall", body: whyForm, owned: nobodyElse},
	{route: "GET /worklists/unread", needs: send},
	{route: "GET /notices", needs: send},
	{route: "POST /notices/read", needs: send, body: "message={sent}&seq=1", owned: nobodyElse},
	{route: "GET /worklists/no-email", needs: send + " " + imports},
	{route: "POST /letters/new", needs: send + " " + imports, body: "user=cleo"},
	{route: "POST /letters", needs: send + " " + imports, body: "user=cleo&print=0197aaaa-0000-7000-8000-000000000001"},

	// Writing messages: a draft is its author's.
	{route: "GET /messages/compose", needs: send},
	{route: "GET /messages/wordings", needs: send},
	{route: "GET /messages/wordings/new", needs: send},
	{route: "POST /messages/wordings", needs: send, body: "name=Care&body=Rest"},
	{route: "GET /messages/wordings/{id}", needs: send, at: "/messages/wordings/{wording}", owned: nobodyElse},
	{route: "POST /messages/wordings/{id}", needs: send, at: "/messages/wordings/{wording}", body: "name=Care&body=Rest&version=1", owned: nobodyElse},
	{route: "POST /messages/wordings/{id}/delete", needs: send, at: "/messages/wordings/{wording}/delete", body: "version=1", owned: nobodyElse, once: true, late: true},
	{route: "GET /messages/drafts", needs: send},
	{route: "GET /messages/drafts/{id}", needs: send, at: "/messages/drafts/{draft}", owned: nobodyElse},
	{route: "POST /messages/drafts/{id}", needs: send, at: "/messages/drafts/{draft}", body: "version=1&page=a&subject=Changed", owned: nobodyElse},
	// Another's draft counts as one that is not saved yet: the searches find the same people for it.
	{route: "POST /messages/drafts/{id}/portal-users", needs: send, at: "/messages/drafts/{draft}/portal-users", body: "find-user=ada"},
	{route: "POST /messages/drafts/{id}/staff", needs: send, at: "/messages/drafts/{draft}/staff", body: "find-staff=olga"},
	{route: "GET /messages/drafts/{id}/check", needs: send, at: "/messages/drafts/{draft}/check", owned: nobodyElse},
	{route: "POST /messages/drafts/{id}/check", needs: send, at: "/messages/drafts/{draft}/check", body: "version=1", owned: nobodyElse},
	{route: "GET /messages/drafts/{id}/recipients", needs: send, at: "/messages/drafts/{draft}/recipients", owned: nobodyElse},
	{route: "GET /messages/drafts/{id}/letters", needs: send, at: "/messages/drafts/{draft}/letters", owned: nobodyElse},
	{route: "GET /messages/drafts/{id}/letters.csv", needs: send, at: "/messages/drafts/{draft}/letters.csv", owned: nobodyElse},
	{route: "GET /messages/drafts/{id}/delete", needs: send, at: "/messages/drafts/{draft}/delete", owned: nobodyElse},
	{route: "POST /messages/drafts/{id}/delete", needs: send, at: "/messages/drafts/{draft}/delete", body: emptyForm, owned: nobodyElse, once: true},
	{route: "GET /messages/groups/{group}/count", needs: bulk, at: "/messages/groups/active_patients/count"},

	// Operating.
	{route: "GET /operations", needs: replays},
	{route: "GET /operations/messages", needs: replays},
	{route: "POST /operations/alerting/{change}", needs: replays, at: "/operations/alerting/pause", body: whyForm},
	{route: "POST /operations/alerting/{change}", needs: replays, at: "/operations/alerting/resume", body: whyForm},
	{route: "GET /operations/parked", needs: replays},
	{route: "POST /operations/parked", needs: replays, body: emptyForm},
	{route: "GET /operations/parked/{id}", needs: replays, at: "/operations/parked/{parked}"},
	{route: "POST /operations/parked/{id}/{decision}", needs: replays, at: "/operations/parked/{parked}/retry", body: whyForm},
	{route: "POST /operations/parked/{id}/{decision}", needs: replays, at: "/operations/parked/{parked}/discard", body: whyForm},
	{route: "GET /operations/replays", needs: replays},
	{route: "POST /operations/replays", needs: replays, body: whyForm},
	{route: "GET /operations/replays/new", needs: replays},
	{route: "POST /operations/replays/new", needs: replays, body: "message={sent}&user=ada"},
	{route: "GET /operations/replays/{id}", needs: replays, at: "/operations/replays/{replay}"},
	{route: "POST /operations/replays/{id}", needs: replays, at: "/operations/replays/{replay}", body: "do=cancel"},
	{route: "GET /operations/replays/{id}/progress", needs: replays, at: "/operations/replays/{replay}/progress"},

	// The record.
	{route: "GET /record", needs: record},
	{route: "GET /record/state", needs: record},
	{route: "GET /record/{seq}", needs: record, at: "/record/1"},
	{route: "GET /record/messages/{id}", needs: record, at: "/record/messages/{sent}"},
	{route: "GET /record/messages/{id}/why", needs: record, at: "/record/messages/{sent}/why"},
	{route: "POST /record", needs: record, body: "q=ada"},
	{route: "GET /record/portal-users/{id}", needs: record + " " + send, at: "/record/portal-users/ada"},
	{route: "GET /record/portal-users/{id}/disclosures", needs: record, at: "/record/portal-users/ada/disclosures"},
	{route: "GET /record/patients/{id}/disclosures", needs: record, at: "/record/patients/pt-ada/disclosures"},
	{route: "GET /record/patients/{id}", needs: record, at: "/record/patients/pt-ada"},
	{route: "GET /record/receipts/{message}/{portal_user}/disclose", needs: record, at: "/record/receipts/{sent}/ada/disclose"},
	{route: "POST /record/receipts/{message}/{portal_user}/disclose", needs: record, at: "/record/receipts/{sent}/ada/disclose", body: "to=Lena+Lawyer&purpose=court&basis=other"},
	{route: "GET /record/receipts/{message}/{portal_user}", needs: record, at: "/record/receipts/{sent}/ada"},
	{route: "GET /record/erasures", needs: erase + " " + record},
	{route: "GET /record/erasures/{id}", needs: erase + " " + record, at: "/record/erasures/{erasure}"},
	{route: "GET /record/erasures/new", needs: erase},
	{route: "POST /record/erasures", needs: erase, body: "message={recalled}&" + whyForm},
	{route: "POST /record/erasures/{id}/approve", needs: erase, at: "/record/erasures/{erasure}/approve", body: emptyForm, session: true},
	{route: "POST /record/erasures/{id}/withdraw", needs: erase, at: "/record/erasures/{erasure}/withdraw", body: emptyForm},

	// Emergency access: an opening is its owner's, and reviewers see it.
	{route: "GET /emergency", needs: urgent + " " + record, session: true},
	{route: "POST /emergency", needs: urgent, body: "message={sent}&" + whyForm, session: true},
	{route: "GET /emergency/{id}", needs: urgent + " " + record, at: "/emergency/{opening}", owned: record, session: true},
	{route: "GET /emergency/{id}/read", needs: urgent, at: "/emergency/{opening}/read", owned: nobodyElse, session: true},
	{route: "GET /emergency/{id}/documents/{document}", needs: urgent, at: "/emergency/{opening}/documents/{document}", owned: nobodyElse, session: true},
	{route: "POST /emergency/{id}/end", needs: urgent + " " + record, at: "/emergency/{opening-to-end}/end", body: emptyForm, owned: record, session: true},
	{route: "POST /emergency/{id}/review", needs: record, at: "/emergency/{opening-to-review}/review", body: "note=It+was+needed.", session: true},

	// Administration.
	{route: "GET /administration/staff", needs: manage},
	{route: "POST /administration/staff", needs: manage, body: emptyForm},
	{route: "GET /administration/staff/new", needs: manage},
	{route: "GET /administration/staff/{id}", needs: manage, at: "/administration/staff/{staff}"},
	{route: "POST /administration/staff/{id}", needs: manage, at: "/administration/staff/{staff}", body: emptyForm},
	{route: "GET /administration/staff/{id}/change", needs: manage, at: "/administration/staff/{staff}/change"},
	{route: "POST /administration/staff/{id}/change", needs: manage, at: "/administration/staff/{staff}/change", body: "name=Tess+Changed"},
	{route: "POST /administration/staff/{id}/link", needs: manage, at: "/administration/staff/{staff}/link", body: emptyForm},
	{route: "POST /administration/staff/{id}/end-sessions", needs: manage, at: "/administration/staff/{staff}/end-sessions", body: emptyForm},
	{route: "POST /administration/staff/{id}/tokens/{token}/revoke", needs: manage, at: "/administration/staff/{staff}/tokens/{staff-token}/revoke", body: emptyForm},
	{route: "POST /administration/staff/{id}/tokens/{token}/revoke", needs: manage, at: "/administration/staff/{staff}/tokens/{token}/revoke", body: emptyForm, owned: noOne}, // the token is Olga's
	{route: "POST /administration/staff/{id}/disable", needs: manage, at: "/administration/staff/{staff}/disable", body: emptyForm},
	{route: "POST /administration/staff/{id}/enable", needs: manage, at: "/administration/staff/{staff}/enable", body: emptyForm},
	{route: "POST /administration/staff/{id}/reset-second-factor", needs: manage, at: "/administration/staff/{staff}/reset-second-factor", body: emptyForm},
	{route: "POST /administration/staff/{id}/unlink", needs: manage, at: "/administration/staff/{staff}/unlink", body: emptyForm},
	{route: "POST /administration/staff/{id}/cancel-scheduled", needs: manage, at: "/administration/staff/{staff}/cancel-scheduled", body: emptyForm},
	{route: "GET /administration/grants", needs: manage},
	{route: "POST /administration/grants/{id}/approve", needs: manage, at: "/administration/grants/{grant}/approve", body: emptyForm, session: true},
	{route: "POST /administration/grants/{id}/withdraw", needs: manage, at: "/administration/grants/{grant}/withdraw", body: emptyForm},
	{route: "GET /administration/clinic", needs: face},
	{route: "POST /administration/clinic", needs: face, body: emptyForm},
	{route: "GET /administration/labels", needs: words},
	{route: "POST /administration/labels", needs: words, body: emptyForm},

	// The directory. An import is seen by who uploaded it.
	{route: "GET /directory/portal-users", needs: imports},
	{route: "POST /directory/portal-users", needs: imports, body: "q=ada"},
	{route: "GET /directory/portal-users/{id}", needs: imports + " " + send, at: "/directory/portal-users/ada"},
	{route: "POST /directory/portal-users/{id}/invitation", needs: imports, at: "/directory/portal-users/ada/invitation", body: emptyForm},
	{route: "POST /directory/portal-users/{id}/reset-second-factor", needs: imports, at: "/directory/portal-users/cleo/reset-second-factor", body: emptyForm},
	{route: "GET /directory/invitations", needs: imports},
	{route: "GET /directory/invitations/new", needs: imports},
	{route: "POST /directory/invitations/new", needs: imports, body: "id=cleo"},
	{route: "POST /directory/invitations", needs: imports, body: "id=cleo"},
	{route: "GET /directory/invitations/{id}", needs: imports, at: "/directory/invitations/{invitations}"},
	{route: "POST /directory/invitations/{id}/cancel", needs: imports, at: "/directory/invitations/{invitations}/cancel", body: emptyForm},
	{route: "POST /directory/portal-users/{id}/confirm-address", needs: imports, at: "/directory/portal-users/cleo/confirm-address", body: "version=0"},
	{route: "POST /directory/portal-users/{id}/end-sessions", needs: imports, at: "/directory/portal-users/cleo/end-sessions", body: emptyForm},
	{route: "GET /directory/patients", needs: imports},
	{route: "POST /directory/patients", needs: imports, body: "q=ada"},
	{route: "GET /directory/patients/{id}", needs: imports, at: "/directory/patients/pt-ada"},
	{route: "GET /directory/import", needs: imports},
	{route: "POST /directory/import", needs: imports, body: emptyForm},
	{route: "GET /directory/import/{id}", needs: imports, at: "/directory/import/{import}", owned: nobodyElse, others: "303 /directory/import"},
	{route: "POST /directory/import/{id}", needs: imports, at: "/directory/import/{import}", body: "do=check", owned: nobodyElse, others: "303 /directory/import"},
}

var operations = []rule{
	// For everyone.
	{route: "GET /healthz", needs: everyone},
	{route: "GET /readyz", needs: everyone},
	{route: "GET /metrics", needs: everyone},
	{route: "GET /docs", needs: everyone},
	{route: "GET /docs/plain", needs: everyone},
	{route: "GET /docs/style.css", needs: everyone},
	{route: "GET /problems/{name}", needs: everyone, at: "/problems/forbidden"},
	{route: "GET /openapi.json", needs: everyone},
	{route: "GET /openapi.yaml", needs: everyone},
	{route: "GET /v1/record/key", needs: everyone}, // whoever has a receipt can check it
	{route: "POST /webhooks/sendgrid", needs: sendGrid, body: "[]"},
	{route: "POST /v1/session", needs: everyone, body: nothing},
	{route: "DELETE /v1/session", needs: everyone, last: true},
	{route: "DELETE /v1/session", needs: everyone, at: "/v1/session?everywhere=true", last: true, session: true},
	{route: "POST /v1/portal/session", needs: everyone, body: nothing},
	{route: "DELETE /v1/portal/session", needs: everyone, last: true},

	// For portal users.
	{route: "GET /v1/portal/session", needs: portalUsers},
	{route: "GET /v1/portal/sessions", needs: portalUsers},
	{route: "DELETE /v1/portal/sessions/{id}", needs: portalUsers, at: "/v1/portal/sessions/{adas-session-of-api}", owned: nobodyElse, once: true},
	{route: "DELETE /v1/portal/sessions", needs: portalUsers, late: true},
	{route: "GET /v1/portal/patients", needs: portalUsers},
	{route: "POST /v1/portal/messages/{id}/unread", needs: portalUsers, at: "/v1/portal/messages/{sent}/unread", owned: nobodyElse},
	{route: "GET /v1/portal/messages", needs: portalUsers},
	{route: "GET /v1/portal/messages/{id}", needs: portalUsers, at: "/v1/portal/messages/{sent}", owned: nobodyElse},
	{route: "GET /v1/portal/messages/{id}/attachments/{attachment_id}", needs: portalUsers, at: "/v1/portal/messages/{sent}/attachments/{document}", owned: nobodyElse},
	{route: "GET /v1/portal/messages/{id}/receipt", needs: portalUsers, at: "/v1/portal/messages/{sent}/receipt", owned: nobodyElse},

	// For all staff.
	{route: "GET /v1/session", needs: staff},
	{route: "POST /v1/session/unlink", needs: staff, body: nothing, due: true, session: true},
	{route: "POST /v1/session/password", needs: staff, body: `{"current":"not this one","new":"nor this one"}`, due: true, session: true},
	{route: "GET /v1/sessions", needs: staff},
	{route: "DELETE /v1/sessions/{id}", needs: staff, at: "/v1/sessions/{session-of-api}", owned: nobodyElse, due: true, session: true, once: true},
	{route: "DELETE /v1/sessions", needs: staff, due: true, session: true, late: true},
	{route: "GET /v1/tokens", needs: staff},
	{route: "POST /v1/tokens", needs: staff, body: `{"name":"By API"}`, session: true},
	{route: "DELETE /v1/tokens/{id}", needs: staff, at: "/v1/tokens/{token}", owned: nobodyElse, session: true},
	{route: "GET /v1/search", needs: staff, at: "/v1/search?q=care"},
	{route: "GET /v1/clinic", needs: staff},
	{route: "GET /v1/wordings", needs: send},
	{route: "GET /v1/drafts", needs: send},
	{route: "POST /v1/wordings", needs: send, body: `{"name":"Care","subject":"","body":"Rest","published":false}`},
	{route: "PUT /v1/wordings/{id}", needs: send, at: "/v1/wordings/{wording-of-the-api}?version=1", body: `{"name":"Care","subject":"","body":"Rest","published":false}`, owned: nobodyElse},
	{route: "DELETE /v1/wordings/{id}", needs: send, at: "/v1/wordings/{wording-of-the-api}?version=1", owned: nobodyElse, once: true, late: true},
	{route: "GET /v1/labels", needs: staff},
	{route: "GET /v1/staff", needs: staff},
	{route: "GET /v1/bcc", needs: staff},

	// Messages.
	{route: "POST /v1/attachments", needs: send, body: nothing},
	{route: "POST /v1/recipients/preview", needs: send, body: `{"recipients":{"portal_user_ids":["ada"]}}`},
	{route: "POST /v1/recipients/preview", needs: bulk, body: `{"recipients":{"groups":["active_patients"]}}`},
	{route: "GET /v1/portal-users", needs: send + " " + imports, at: "/v1/portal-users?q=ada"},
	{route: "GET /v1/portal-users/{id}/deliveries", needs: record + " " + send, at: "/v1/portal-users/ada/deliveries"},
	{route: "GET /v1/patients", needs: imports, at: "/v1/patients?q=ada"},
	{route: "GET /v1/worklists/unread", needs: send},
	{route: "GET /v1/notices", needs: send},
	{route: "POST /v1/notices/read", needs: send, body: `{"seq":1}`},
	{route: "POST /v1/notices/{id}/read", needs: send, at: "/v1/notices/{sent}/read", body: `{"seq":1}`, owned: nobodyElse},
	{route: "GET /v1/worklists/no-email", needs: send + " " + imports},
	{route: "POST /v1/messages", needs: send, body: `{"subject":"s","body":"b","recipients":{"portal_user_ids":["nobody-of-this-id"]}}`},
	{route: "POST /v1/messages", needs: bulk, body: `{"subject":"s","body":"b","recipients":{"groups":["discharged_patients"]}}`},
	{route: "POST /v1/messages", needs: send, body: `{"subject":"s","body":"b","recipients":{"portal_user_ids":["ada"]},"attachment_ids":["{upload}"]}`, owned: nobodyElse, others: "422", once: true},
	{route: "GET /v1/messages", needs: send + " " + record},
	{route: "GET /v1/messages/{id}", needs: staff, at: "/v1/messages/{sent}", owned: record},
	{route: "GET /v1/messages/{id}/attachments/{attachment_id}", needs: staff, at: "/v1/messages/{sent}/attachments/{document}", owned: nobodyElse},
	{route: "GET /v1/messages/{id}/deliveries", needs: staff, at: "/v1/messages/{sent}/deliveries", owned: record},
	{route: "GET /v1/messages/{id}/stream", needs: staff, at: "/v1/messages/{sent}/stream", owned: record},
	{route: "POST /v1/messages/{id}/cancel", needs: send, at: "/v1/messages/{scheduled}/cancel", owned: nobodyElse},
	{route: "POST /v1/messages/{id}/recall", needs: send, at: "/v1/messages/{sent}/recall", body: why, owned: nobodyElse},

	// Operating.
	{route: "GET /v1/operations", needs: replays},
	{route: "GET /v1/operations/messages", needs: replays, at: "/v1/operations/messages?from=2026-03-02T09:30:00Z&to=2026-03-02T10:30:00Z"},
	{route: "GET /v1/alerting", needs: replays},
	{route: "POST /v1/alerting/pause", needs: replays, body: why},
	{route: "POST /v1/alerting/resume", needs: replays, body: why},
	{route: "GET /v1/parked", needs: replays},
	{route: "GET /v1/parked/{id}", needs: replays, at: "/v1/parked/{parked}"},
	{route: "POST /v1/parked/{id}/retry", needs: replays, at: "/v1/parked/{parked}/retry"},
	{route: "POST /v1/parked/{id}/discard", needs: replays, at: "/v1/parked/{parked}/discard", body: why},
	{route: "GET /v1/replays", needs: replays},
	{route: "POST /v1/replays", needs: replays, body: `{"filter":{},"reason":"Their provider was down."}`},
	{route: "GET /v1/replays/{id}", needs: replays, at: "/v1/replays/{replay}"},
	{route: "POST /v1/replays/{id}/start", needs: replays, at: "/v1/replays/{replay}/start", body: nothing},
	{route: "POST /v1/replays/{id}/pause", needs: replays, at: "/v1/replays/{replay}/pause"},
	{route: "POST /v1/replays/{id}/resume", needs: replays, at: "/v1/replays/{replay}/resume"},
	{route: "POST /v1/replays/{id}/cancel", needs: replays, at: "/v1/replays/{replay}/cancel"},

	// The record.
	{route: "GET /v1/record", needs: record},
	{route: "GET /v1/record/{seq}", needs: record, at: "/v1/record/1"},
	{route: "GET /v1/record.csv", needs: record},
	{route: "GET /v1/record.ndjson", needs: record},
	{route: "GET /v1/record.fhir.ndjson", needs: record},
	{route: "GET /v1/record/exports/{id}", needs: record, at: "/v1/record/exports/{export}"},
	{route: "GET /v1/record/checkpoint", needs: record},
	{route: "GET /v1/patients/{id}/disclosures", needs: record, at: "/v1/patients/pt-ada/disclosures"},
	{route: "GET /v1/patients/{id}/disclosures.csv", needs: record, at: "/v1/patients/pt-ada/disclosures.csv"},
	{route: "POST /v1/messages/{id}/deliveries/{portal_user_id}/bundle", needs: record, at: "/v1/messages/{sent}/deliveries/ada/bundle", body: `{"to":"Lena Lawyer","purpose":"court","basis":"other"}`},
	{route: "GET /v1/messages/{id}/deliveries/{portal_user_id}/receipt", needs: record, at: "/v1/messages/{sent}/deliveries/ada/receipt"},
	{route: "GET /v1/erasures", needs: erase + " " + record},
	{route: "POST /v1/erasures", needs: erase, body: `{"message_id":"{recalled}","reason":"It went out by mistake."}`},
	{route: "POST /v1/erasures/{id}/approve", needs: erase, at: "/v1/erasures/{erasure}/approve", session: true},
	{route: "POST /v1/erasures/{id}/withdraw", needs: erase, at: "/v1/erasures/{erasure}/withdraw"},

	{route: "GET /v1/emergency", needs: urgent + " " + record},
	{route: "POST /v1/emergency", needs: urgent, body: `{"message_id":"{sent}","reason":"Their doctor is away."}`, session: true},
	{route: "GET /v1/emergency/{id}", needs: urgent + " " + record, at: "/v1/emergency/{opening}", owned: record, session: true},
	{route: "GET /v1/emergency/{id}/content", needs: urgent, at: "/v1/emergency/{opening}/content", owned: nobodyElse, session: true},
	{route: "GET /v1/emergency/{id}/attachments/{attachment_id}", needs: urgent, at: "/v1/emergency/{opening}/attachments/{document}", owned: nobodyElse, session: true},
	{route: "GET /v1/emergency/{id}/disclosures", needs: urgent, at: "/v1/emergency/{opening-of-patient}/disclosures", owned: nobodyElse, session: true},
	{route: "POST /v1/emergency/{id}/end", needs: urgent + " " + record, at: "/v1/emergency/{opening-to-end}/end", owned: record, session: true},
	{route: "POST /v1/emergency/{id}/review", needs: record, at: "/v1/emergency/{opening-to-review}/review", body: `{"note":"It was needed."}`, session: true},

	// Administration.
	{route: "PUT /v1/labels", needs: words, body: nothing},
	{route: "PUT /v1/clinic", needs: face, body: `{"name":"","telephone":"","address":"","hours":"","help":"","colour":"","version":0}`},
	{route: "POST /v1/staff", needs: manage, body: nothing},
	{route: "PATCH /v1/staff/{id}", needs: manage, at: "/v1/staff/{staff}", body: `{"name":"Tess Target"}`},
	{route: "POST /v1/staff/{id}/reset", needs: manage, at: "/v1/staff/{staff}/reset"},
	{route: "DELETE /v1/staff/{id}/sessions", needs: manage, at: "/v1/staff/{staff}/sessions"},
	{route: "GET /v1/staff/{id}/tokens", needs: manage, at: "/v1/staff/{staff}/tokens"},
	{route: "DELETE /v1/staff/{id}/tokens/{token_id}", needs: manage, at: "/v1/staff/{staff}/tokens/{staff-token}"},
	{route: "DELETE /v1/staff/{id}/tokens/{token_id}", needs: manage, at: "/v1/staff/{staff}/tokens/{token}", owned: noOne}, // the token is Olga's
	{route: "DELETE /v1/portal-users/{id}/second-factor", needs: imports, at: "/v1/portal-users/cleo/second-factor"},
	{route: "POST /v1/invitations", needs: imports, body: `{"portal_user_ids":["cleo"]}`},
	{route: "GET /v1/invitations", needs: imports},
	{route: "GET /v1/invitations/{id}", needs: imports, at: "/v1/invitations/{invitations}"},
	{route: "POST /v1/invitations/{id}/cancel", needs: imports, at: "/v1/invitations/{invitations}/cancel"},
	{route: "POST /v1/portal-users/{id}/letter", needs: imports, at: "/v1/portal-users/nora/letter", body: "", session: true},
	{route: "DELETE /v1/portal-users/{id}/sessions", needs: imports, at: "/v1/portal-users/cleo/sessions"},
	{route: "GET /v1/staff/{id}/permissions", needs: manage, at: "/v1/staff/{staff}/permissions"},
	{route: "PUT /v1/staff/{id}/permissions", needs: manage, at: "/v1/staff/{staff}/permissions", body: `{"permissions":[]}`},
	{route: "GET /v1/grants", needs: manage},
	{route: "POST /v1/grants/{id}/approve", needs: manage, at: "/v1/grants/{grant}/approve", session: true},
	{route: "POST /v1/grants/{id}/withdraw", needs: manage, at: "/v1/grants/{grant}/withdraw"},
	{route: "POST /v1/staff/{id}/disable", needs: manage, at: "/v1/staff/{staff}/disable"},
	{route: "POST /v1/staff/{id}/enable", needs: manage, at: "/v1/staff/{staff}/enable"},
	{route: "POST /v1/staff/{id}/cancel-scheduled", needs: manage, at: "/v1/staff/{staff}/cancel-scheduled"},
	{route: "DELETE /v1/staff/{id}/identity", needs: manage, at: "/v1/staff/{staff}/identity"},
	{route: "DELETE /v1/staff/{id}/second-factor", needs: manage, at: "/v1/staff/{staff}/second-factor"},
}
