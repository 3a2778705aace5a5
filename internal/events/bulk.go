package events

// IsBulk says whether a message goes to a group. Sending it needs a permission of its own, its
// sender can undo it, and it is expanded in a lane of its own, in which it keeps no message to
// chosen people waiting. How many people the group has makes no difference.
func (s Selection) IsBulk() bool { return len(s.Groups) > 0 }

// IsBulk says whether an event speaks of one of several chunks. Alerts of such chunks have a
// lane of their own. It goes by the number of chunks, for the event does not say to whom its
// message was sent: a bulk message to a small group has one chunk, and its alerts do not wait
// for those of a large one.
func (e Event) IsBulk() bool { return e.Chunk != nil && e.Chunk.Of > 1 }
