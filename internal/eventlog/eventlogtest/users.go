package eventlogtest

// Forbidden gives subjects to which only the admin may publish: all requests with
// which nats-server 2.15 creates, changes, moves, purges or deletes a stream or its
// durable consumers (server/jetstream_api.go), a subject of the server itself, and
// subjects of the record that belong to no type of event.
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
