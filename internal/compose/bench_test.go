package compose_test

import (
	"strconv"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
)

// What a message to one portal user costs until it is on the record.
func BenchmarkSend(b *testing.B) {
	s := composetest.New(b)
	ada := s.Staff(b, "Ada", policy.SendPortalMessage)
	s.PortalUser(b, "pu-1")
	r := compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")}
	for i := 0; b.Loop(); i++ {
		if _, err := s.Compose.Send(b.Context(), ada, strconv.Itoa(i), r); err != nil {
			b.Fatal(err)
		}
	}
}

// What a page of fifty subjects costs to open.
func BenchmarkHeaders(b *testing.B) {
	s := composetest.New(b)
	ada := s.Staff(b, "Ada", policy.SendPortalMessage)
	s.PortalUser(b, "pu-1")
	r := compose.Request{Subject: "s", Body: "b", Recipients: to("pu-1")}
	var ids []uuid.UUID
	for i := range 50 {
		a, err := s.Compose.Send(b.Context(), ada, strconv.Itoa(i), r)
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	for b.Loop() {
		if _, err := s.Reader.Headers(b.Context(), ids); err != nil {
			b.Fatal(err)
		}
	}
}
