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
// writes from the event; besides, it keeps every event whole in events and moves
// position. The user admin, which `postern` signs in as, may publish every type;
// it makes staff (staff.created, permission.*) and relays imports.
//
//	type                   when                                                     published by    consumed by    rows
//	message.sent           staff press Send                                         api             fanout-worker  messages, message_bcc
//	message.released       a held or scheduled message came due                     recorder        fanout-worker  messages
//	message.cancelled      staff call a held or scheduled message off               api             -              messages
//	audience.resolved      fan-out froze the audience                               fanout-worker   -              messages
//	deliveries.created     for each chunk of the audience                           fanout-worker   notify-worker  messages, chunks, deliveries
//	fanout.completed       the last chunk is on the record                          fanout-worker   -              messages
//	alerts.accepted        SendGrid took the alerts of most of a chunk              notify-worker   -              messages, chunks, alert_exceptions
//	alerts.failed          SendGrid refused the alerts of most of a chunk           notify-worker   -              messages, chunks, alert_exceptions
//	alerts.skipped         no alert was due to most of a chunk                      notify-worker   -              messages, chunks, alert_exceptions
//	alerts.unknown         SendGrid's answer was never learned for most of a chunk  notify-worker   -              messages, chunks, alert_exceptions
//	delivery.opened        a portal user opens a message for the first time         api             -              messages, opens
//	attachment.downloaded  a portal user downloads a document                       api             -              downloads
//	message.recalled       staff take a message back                                api             -              messages
//	signed_in              somebody signed in                                       api             -              -
//	sign_in.failed         somebody tried to sign in and was not let in             api             -              -
//	staff.created          somebody is made staff                                   api             -              staff
//	permission.granted     a permission is given                                    api             -              staff_permissions
//	permission.revoked     a permission is taken away                               api             -              staff_permissions
//	label.changed          the clinic renames something                             api             -              labels
//	directory.imported     an import changed the directory                          api, recorder   -              -
package events
