// Package events says what can happen: the types of event, the bodies that they
// carry, and the envelope, ids and subjects under which they stand on the record.
// It does no I/O, and everything in it may be used from many goroutines at once.
//
// # Order and identity
//
// An event's place on the record is its sequence in the stream, which is not
// known here. Its id is derived from what happened ([IDOf]): whoever publishes
// the same fact again, after a crash or beside another process, publishes the
// same id, and the first on the record counts.
//
// # The table
//
// Every type, made from the [Registry] by `go generate`. "Rows" are the tables of the
// schema record that the recorder writes from the event. Besides, it keeps every event
// whole in events, those of one chunk also in chunk_events, appends it to the tree in
// hashes and moves position. The user admin, which `postern` signs in as, may publish
// every type: it creates and disables staff (staff.*, second_factor.reset,
// permission.*) and relays imports.
//
// To add a type, add its constant, its descriptor and its body to the file of what it
// is about, its schema to schemas, and an example to eventstest; then `go generate ./...`.
//
//	type                   version  when                                                                       published by        consumed by    rows
//	message.sent           2        staff press Send                                                           api                 fanout-worker  messages, message_bcc
//	message.released       1        a held or scheduled message is due                                         recorder            fanout-worker  messages
//	message.cancelled      1        staff cancel a held or scheduled message                                   api                 -              messages
//	message.recalled       1        staff recall a message                                                     api                 -              messages
//	audience.resolved      1        fan-out has fixed the audience                                             fanout-worker       -              messages
//	deliveries.created     1        for each chunk of the audience                                             fanout-worker       notify-worker  messages, chunks, deliveries
//	fanout.completed       1        the last chunk is recorded                                                 fanout-worker       -              messages
//	delivery.opened        1        a portal user opens a message for the first time                           api                 -              messages, opens
//	attachment.downloaded  1        a portal user downloads a document                                         api                 -              downloads
//	alerts.accepted        3        SendGrid accepted the alerts of most of a chunk                            notify-worker       -              messages, chunks, alert_exceptions, reports, replays
//	alerts.failed          3        SendGrid refused the alerts of most of a chunk                             notify-worker       -              messages, chunks, alert_exceptions, reports, replays
//	alerts.skipped         3        no alert was due to most of a chunk                                        notify-worker       -              messages, chunks, alert_exceptions, reports, replays
//	alerts.unknown         3        SendGrid's answer never came for most of a chunk                           notify-worker       -              messages, chunks, alert_exceptions, reports, replays
//	alerts.reported        1        SendGrid's event webhook reported on alerts                                api                 -              messages, alert_exceptions, reports, dead_addresses
//	address.reported       1        it reported that an address does not work, of an e-mail that was no alert  api                 -              dead_addresses
//	replay.planned         1        a set of failed alerts is fixed, to be sent again                          api, notify-worker  -              replays
//	replay.started         1        a plan is to be carried out                                                api, notify-worker  -              replays
//	replay.paused          1        a replay sends nothing more for now                                        api                 -              replays
//	replay.resumed         1        it goes on                                                                 api                 -              replays
//	replay.cancelled       1        a replay sends nothing more                                                api                 -              replays
//	replay.completed       1        every alert of a replay has an outcome or was left out                     notify-worker       -              replays
//	alerting.paused        1        no more alerts are sent, of one message or of any                          api, notify-worker  -              pauses
//	alerting.resumed       1        alerts are sent again                                                      api                 -              pauses
//	parked.retried         1        an operator has a parked event handled once more                           api                 -              parked_decisions
//	parked.discarded       1        an operator gives a parked event up                                        api                 -              parked_decisions
//	erasure.requested      1        staff request that the content of a message is destroyed                   api                 -              erasures
//	erasure.withdrawn      1        such a request is withdrawn or turned down                                 api                 -              erasures
//	content.erased         1        a second person agrees, and the keys are destroyed                         api                 -              erasures
//	retention.changed      1        content is kept for more or fewer years from now on                        api                 -              retention
//	signed_in              2        staff or a portal user signed in                                           api                 -              -
//	sign_in.failed         2        a sign-in was refused                                                      api                 -              -
//	staff.created          1        a staff account is created                                                 api                 -              staff
//	staff.disabled         1        a staff account is disabled                                                api                 -              staff
//	staff.enabled          1        it is enabled again                                                        api                 -              staff
//	second_factor.added    1        a staff member set up a second factor                                      api                 -              second_factors
//	second_factor.removed  1        the staff member removed it                                                api                 -              second_factors
//	second_factor.reset    1        another staff member removed it                                            api                 -              second_factors
//	permission.granted     2        a permission is given                                                      api                 -              staff_permissions
//	permission.revoked     2        a permission is taken away                                                 api                 -              staff_permissions
//	label.changed          1        the clinic renames something                                               api                 -              labels
//	directory.imported     1        an import changed the directory                                            api, recorder       -              -
//	record.read            1        the record is read, before the reader sees it                              api                 -              -
//	record.exported        1        an export of the record was written to its end                             api                 -              -
//	receipt.issued         1        the proof of a delivery is handed out                                      api                 -              -
package events

//go:generate go test -run TestTheTableIsTheRegistry -update .
