// Package events defines the types of event, their bodies, and the envelope, ids and
// subjects with which they are stored on the record. It does no I/O, and everything in
// it is safe for concurrent use.
//
// # Order and identity
//
// An event's position on the record is its sequence in the stream, which this package
// does not know. Its id is derived from the fact ([IDOf]): a process that publishes
// the same fact again, after a crash or at the same time as another process, uses the
// same id. The first event with that id counts.
//
// # People
//
// A body that names several people is a [Hiding]: they are in its private part, and its public
// part has the root of their salted entries. A receipt shows a person the own entry, and nothing
// of anybody else.
//
// # Size
//
// All types are in one package, one file an aggregate, because the registry, the
// envelope and the ids refer to all of them, and all other packages refer to them.
//
// # The table
//
// `go generate` writes the table of all types from the [Registry]. "Rows" are the
// tables of the database schema record that the recorder writes from the event. The
// recorder also stores every event whole in events, and events of one chunk in
// chunk_events too; it appends the event to the tree in hashes and advances position.
// The user admin, as which `postern` signs in, may publish every type: it creates and
// disables staff (staff.*, second_factor.reset, permission.*) and relays imports.
//
// To add a type, add its constant, descriptor and body to the file of its subject, its
// schema to schemas, and an example to eventstest. Then run `go generate ./...`.
//
//	type                   version  when                                                                                                published by        consumed by    rows
//	message.sent           4        a staff member sends a message                                                                      api                 fanout-worker  messages, message_bcc
//	message.released       1        a held or scheduled message is due                                                                  recorder            fanout-worker  messages
//	message.cancelled      1        a staff member cancels a held or scheduled message                                                  api                 -              messages
//	message.recalled       1        a staff member recalls a message                                                                    api                 -              messages
//	audience.resolved      2        fan-out has frozen the audience                                                                     fanout-worker       -              messages
//	deliveries.created     3        the deliveries of one chunk are recorded                                                            fanout-worker       notify-worker  messages, chunks, inbox
//	fanout.completed       2        the deliveries of all chunks are recorded                                                           fanout-worker       -              messages, notices
//	delivery.opened        1        a portal user opens a message for the first time                                                    api                 -              messages, opens, inbox
//	attachment.downloaded  1        a portal user downloads a document                                                                  api                 -              downloads
//	alerts.accepted        4        SendGrid accepted the alerts of most of a chunk                                                     notify-worker       -              messages, chunks, alert_exceptions, reports, replays, notices
//	alerts.failed          4        SendGrid refused the alerts of most of a chunk                                                      notify-worker       -              messages, chunks, alert_exceptions, reports, replays, notices
//	alerts.skipped         4        most of a chunk needed no alert                                                                     notify-worker       -              messages, chunks, alert_exceptions, reports, replays, notices
//	alerts.unknown         4        SendGrid gave no answer for most of a chunk                                                         notify-worker       -              messages, chunks, alert_exceptions, reports, replays, notices
//	alerts.reported        2        SendGrid's event webhook reported on alerts                                                         api                 -              messages, alert_exceptions, reports, dead_addresses, notices
//	address.reported       2        SendGrid's event webhook reported a non-working address, for an e-mail other than an alert          api                 -              dead_addresses
//	replay.planned         2        a set of failed alerts is chosen, to be sent again                                                  api, notify-worker  -              replays
//	replay.started         1        a planned replay is started                                                                         api, notify-worker  -              replays
//	replay.paused          1        a replay is paused                                                                                  api                 -              replays
//	replay.resumed         1        a paused replay is resumed                                                                          api                 -              replays
//	replay.cancelled       1        a replay is cancelled                                                                               api                 -              replays, notices
//	replay.completed       1        every alert of a replay has an outcome or was left out                                              notify-worker       -              replays, notices
//	alerting.paused        1        alerts are paused, for one message or for all                                                       api, notify-worker  -              pauses
//	alerting.resumed       1        paused alerts are resumed                                                                           api                 -              pauses
//	parked.retried         1        an operator retries a parked event                                                                  api                 -              parked_decisions
//	parked.discarded       1        an operator discards a parked event                                                                 api                 -              parked_decisions
//	erasure.requested      1        a staff member requests the erasure of a message's content                                          api                 -              erasures
//	erasure.withdrawn      1        a request for erasure is withdrawn or rejected                                                      api                 -              erasures
//	content.erased         1        a second person approves the erasure, and the keys are destroyed                                    api                 -              erasures
//	retention.changed      1        the number of years for which content is kept is changed                                            api                 -              retention
//	emergency.opened       1        a staff member opens emergency access, before anything is shown                                     api                 -              emergencies
//	emergency.read         1        content, a document or disclosures are about to be shown by emergency access                        api                 -              emergency_reads
//	emergency.ended        1        emergency access is ended before its time                                                           api                 -              emergencies
//	emergency.reviewed     1        a reviewer has looked at emergency access that another person used                                  api                 -              emergencies
//	signed_in              3        a staff member or a portal user signed in                                                           api                 -              -
//	sign_in.failed         5        a sign-in was refused                                                                               api                 -              -
//	staff.created          1        a staff account is created                                                                          api                 -              staff
//	staff.disabled         1        a staff account is disabled                                                                         api                 -              staff, grants, emergencies
//	staff.enabled          1        a staff account is enabled again                                                                    api                 -              staff
//	permission.granted     3        a permission is given                                                                               api                 -              staff_permissions, grants
//	permission.revoked     2        a permission is removed                                                                             api                 -              staff_permissions, emergencies
//	grant.requested        1        an administrator requests a permission that a second person has to approve                          api                 -              grants
//	grant.withdrawn        1        a request for a permission is withdrawn or rejected                                                 api                 -              grants
//	second_factor.added    2        a person set up a second factor: an authenticator app or a passkey                                  api                 -              second_factors, recovery_codes, account_events
//	second_factor.removed  2        a person removed a second factor of their own                                                       api                 -              second_factors, recovery_codes, account_events
//	second_factor.reset    2        another person removed all second factors of an account                                             api                 -              second_factors, recovery_codes, account_events
//	recovery_codes.made    1        a person got recovery codes, which end all earlier ones                                             api                 -              recovery_codes, account_events
//	password.set           2        a password is set or changed                                                                        api                 -              account_events
//	link.issued            2        a link, or the code of a letter, to set a password is made                                          api                 -              account_events
//	staff.changed          1        the name or e-mail address of a staff account is changed                                            api                 -              staff
//	identity.linked        1        a staff account is linked to an identity at the organisation                                        api                 -              identities
//	identity.unlinked      1        the link of a staff account to an identity is ended                                                 api                 -              identities
//	address.changed        1        the directory has another e-mail address for a portal user who has an account                       api                 -              account_events
//	address.confirmed      1        a changed e-mail address is confirmed, before a link to set a password goes to it                   api                 -              address_confirmations, account_events
//	alerts.opted_out       1        a portal user wants no more e-mails about new messages                                              api                 -              alert_opt_outs, account_events
//	alerts.opted_in        1        a portal user wants e-mails about new messages again                                                api                 -              alert_opt_outs, account_events
//	invitations.started    1        a run of invitations begins, before its first e-mail                                                api                 -              invitation_runs
//	invitations.cancelled  1        a run of invitations is cancelled                                                                   api                 -              invitation_runs
//	invitations.finished   1        everyone in a run of invitations had their turn                                                     api                 -              invitation_runs
//	token.created          1        an API token of a staff member is created, before it works                                          api                 -              tokens
//	token.revoked          1        an API token of a staff member is revoked                                                           api                 -              tokens
//	sessions.ended         1        another person ends all sessions of a staff member or a portal user                                 api                 -              account_events
//	sign_ins.failed        1        more sign-ins from one source were refused within a minute than have events of their own            api                 -              -
//	actions.refused        1        a person was refused many actions within a minute                                                   api                 -              -
//	label.changed          1        the clinic changes a label                                                                          api                 -              labels
//	clinic.changed         1        the clinic changes what the portal shows of it                                                      api                 -              clinic
//	directory.imported     1        an import changed the directory                                                                     api, recorder       -              -
//	record.read            2        the record is read, or people are found by name to read of them, before the reader gets the answer  api                 -              -
//	record.exported        1        an export of the record is complete                                                                 api                 -              -
//	receipt.issued         1        a receipt for a delivery is issued                                                                  api                 -              -
//	delivery.disclosed     1        the evidence of a delivery is about to be handed to a person outside the portal                     api                 -              -
package events

//go:generate go test -run TestTheTableIsTheRegistry -update .
