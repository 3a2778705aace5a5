package inbox

import "github.com/google/uuid"

// After returns the next id: only the message itself and older ones come before it. A list that
// begins there has the message first, if it is in the inbox.
func After(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
