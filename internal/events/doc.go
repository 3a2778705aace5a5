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
// Every type, as the code has it; doc_test.go holds this table to the constants,
// the schemas, asyncapi.yaml, the permissions of NATS, the consumers and the
// projection. "Rows" are the tables of the schema record that the recorder
// writes from the event; besides, it keeps every event whole in events, those of one
// chunk also in chunk_events, appends it to the tree in hashes and moves position.
// The user admin, which `postern` signs in as, may publish every type;
// it makes staff and disables them (staff.*, second_factor.reset, permission.*) and relays imports.
//
//	type                   when                                                     published by    consumed by    rows
//	message.sent           staff press Send                                         api             fanout-worker  messages, message_bcc
//	message.released       a held or scheduled message came due                     recorder        fanout-worker  messages
//	message.cancelled      staff call a held or scheduled message off               api             -              messages
//	audience.resolved      fan-out froze the audience                               fanout-worker   -              messages
//	deliveries.created     for each chunk of the audience                           fanout-worker   notify-worker  messages, chunks, deliveries
//	fanout.completed       the last chunk is on the record                          fanout-worker   -              messages
//	alerts.accepted        SendGrid took the alerts of most of a chunk              notify-worker   -              messages, chunks, alert_exceptions, reports, replays
//	alerts.failed          SendGrid refused the alerts of most of a chunk           notify-worker   -              messages, chunks, alert_exceptions, reports, replays
//	alerts.skipped         no alert was due to most of a chunk                      notify-worker   -              messages, chunks, alert_exceptions, reports, replays
//	alerts.unknown         SendGrid's answer was never learned for most of a chunk  notify-worker   -              messages, chunks, alert_exceptions, reports, replays
//	alerts.reported        SendGrid's event webhook reported on alerts              api             -              messages, alert_exceptions, reports, dead_addresses
//	address.reported       it reported that an address does not work, of no alert           api             -              dead_addresses
//	delivery.opened        a portal user opens a message for the first time         api             -              messages, opens
//	attachment.downloaded  a portal user downloads a document                       api             -              downloads
//	message.recalled       staff take a message back                                api             -              messages
//	replay.planned         failures are frozen, to be repeated                      api, notify-worker  -              replays
//	replay.started         a plan is to be carried out                              api, notify-worker  -              replays
//	replay.paused          nothing more of it goes out for now                      api             -              replays
//	replay.resumed         it goes on                                               api             -              replays
//	replay.completed       all of it has come to an end                             notify-worker   -              replays
//	replay.cancelled       nothing more of it goes out                              api             -              replays
//	signed_in              somebody signed in                                       api             -              -
//	sign_in.failed         somebody tried to sign in and was not let in             api             -              -
//	staff.created          somebody is made staff                                   api             -              staff
//	staff.disabled         a staff member may not come in any more                  api             -              staff
//	staff.enabled          they may come in again                                   api             -              staff
//	second_factor.added    a staff member set up a second factor                    api             -              second_factors
//	second_factor.removed  they removed it                                          api             -              second_factors
//	second_factor.reset    another removed it                                       api             -              second_factors
//	permission.granted     a permission is given                                    api             -              staff_permissions
//	permission.revoked     a permission is taken away                               api             -              staff_permissions
//	label.changed          the clinic renames something                             api             -              labels
//	parked.retried         an operator has a parked event handled once more                 api             -              parked_decisions
//	parked.discarded       an operator gives a parked event up                              api             -              parked_decisions
//	alerting.paused        no alert goes out from here on, of one message or of any         api, notify-worker  -          pauses
//	alerting.resumed       alerts go out again                                              api             -              pauses
//	directory.imported     an import changed the directory                          api, recorder   -              -
//	receipt.issued         the proof of a delivery is handed out                    api             -              -
//	record.read            somebody read the record                                 api             -              -
//	record.exported        an export of the record was written to its end           api             -              -
//	erasure.requested      somebody asks for a message's content to be destroyed    api             -              erasures
//	erasure.withdrawn      such a request is taken back or turned down              api             -              erasures
//	content.erased         somebody else agrees, and the keys are destroyed         api             -              erasures
//	retention.changed      content is kept for more or fewer years from now on      api             -              retention
package events
