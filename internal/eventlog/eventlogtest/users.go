package eventlogtest

// Forbidden are subjects that no process but the admin may publish to: everything by
// which nats-server 2.15 makes, changes, moves, empties or deletes a stream or its
// durable consumers (server/jetstream_api.go), what the server itself listens to, and
// what is on the record under no type of event.
func Forbidden() []string {
	all := []string{"$SYS.REQ.SERVER.PING", "record.nothing.1", "record.events", "record"}
	for _, call := range []string{
		"STREAM.CREATE.RECORD", "STREAM.CREATE.OTHER", "STREAM.UPDATE.RECORD", "STREAM.DELETE.RECORD", "STREAM.PURGE.RECORD",
		"STREAM.MSG.DELETE.RECORD", "STREAM.SNAPSHOT.RECORD", "STREAM.RESTORE.RECORD", "STREAM.PEER.REMOVE.RECORD",
		"STREAM.PEER.EVACUATE.RECORD", "STREAM.CANCEL_MOVE.RECORD", "STREAM.LEADER.STEPDOWN.RECORD",
		"CONSUMER.CREATE.RECORD", "CONSUMER.CREATE.RECORD.fanout-bulk", "CONSUMER.CREATE.RECORD.other", "CONSUMER.MSG.NEXT.RECORD.other", "CONSUMER.DELETE.RECORD.other", "CONSUMER.CREATE.RECORD.fanout-bulk.record.>", "CONSUMER.DURABLE.CREATE.RECORD.fanout-bulk",
		"CONSUMER.DELETE.RECORD.fanout-bulk", "CONSUMER.PAUSE.RECORD.fanout-bulk", "CONSUMER.RESET.RECORD.fanout-bulk",
		"CONSUMER.UNPIN.RECORD.fanout-bulk", "CONSUMER.LEADER.STEPDOWN.RECORD.fanout-bulk",
		"CONSUMER.PEER.REMOVE.RECORD.fanout-bulk", "CONSUMER.PEER.EVACUATE.RECORD.fanout-bulk",
		"META.LEADER.STEPDOWN", "META.RESCUE", "SERVER.REMOVE", "SERVER.EVACUATE", "ACCOUNT.PURGE.X",
		"ACCOUNT.STREAM.MOVE.X.RECORD", "ACCOUNT.STREAM.CANCEL_MOVE.X.RECORD",
	} {
		all = append(all, "$JS.API."+call)
	}
	return all
}
