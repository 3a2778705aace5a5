package deliveryrows

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
)

// The rows of an event are read back as they were written, however the bytes arrive.
func TestRowsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	message := uuid.New()
	body := events.DeliveriesCreated{MessageID: message, Chunk: 3, Recipients: []events.Recipient{
		{PortalUserID: "a", PortalUserNo: 7, Links: []events.Link{{PatientID: "p", PatientNo: 1, Relationship: "self"}, {PatientID: "q", PatientNo: 2, Relationship: "representative"}}},
		{PortalUserID: "b", PortalUserNo: 9, Links: []events.Link{}},
	}}
	e, err := events.New("/test", "process:test", time.Now(), body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(&e); err == nil {
		t.Error("an event without the header of its chunk was encoded")
	}
	e.Chunk = &events.ChunkRef{Index: 3, Of: 4}
	c, err := Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	if c.Key != (Key{message, 3}) || c.FirstNo != 7 || c.LastNo != 9 || c.Deliveries != 2 {
		t.Errorf("the chunk is %+v", c)
	}
	var read [][]byte
	each := func(row []byte) error {
		if KeyOf(row) != c.Key {
			t.Errorf("a row is of %+v", KeyOf(row))
		}
		read = append(read, bytes.Clone(row))
		return nil
	}
	if _, err := io.Copy(&Reader{Each: each}, iotest.OneByteReader(Frame([][]byte{c.Rows, c.Rows}))); err != nil {
		t.Fatal(err)
	}
	once := Split(c.Rows)
	if diff := cmp.Diff(append(once, once...), read); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if len(once) != 2 || PortalUserOf(once[0]) != 7 || PortalUserOf(once[1]) != 9 {
		t.Errorf("the rows are %x", once)
	}
}
