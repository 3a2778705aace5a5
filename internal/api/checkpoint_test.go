package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/proof/checkpoint"
)

// Everyone gets the key and, of a checkpoint, its digest alone: no line of it has the number of
// events. It fits one signed checkpoint. A client whose token has ended gets an error instead.
func TestThePublicCheckpoint(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ada := s.staff(t, "Ada Sender", policy.SendPortalMessage)
	rui := s.staff(t, "Rui Reviewer", policy.ReadRecord)
	pat := s.portalUser(t, "pu-1")
	id := ada.send(letter("Your results", "pu-1"))
	s.Deliver(t, uuid.MustParse(id))
	rui.get("/v1/messages/" + id + "/deliveries/pu-1/receipt").is(http.StatusOK) // waits for a checkpoint
	s.anonymous(t).get("/v1/record/checkpoint?size=1").is(http.StatusUnprocessableEntity)

	s.Clock.Advance(time.Hour)
	whole := string(rui.get("/v1/record/checkpoint").is(http.StatusOK).body)
	hour := s.Clock.Now().UTC().Truncate(time.Hour).Format(time.RFC3339)
	for _, c := range []*client{s.anonymous(t), pat, ada} {
		text := string(c.get("/v1/record/checkpoint").is(http.StatusOK).body)
		lines := strings.Split(text, "\n")
		if len(lines) != 5 || lines[0] != "postern checkpoint commitment 1" || lines[1] != "clinic.example/record" || lines[3] != hour {
			t.Fatalf("the commitment is %q", text)
		}
		for _, line := range lines {
			if _, err := strconv.Atoi(line); err == nil {
				t.Errorf("the commitment has the number %s", line)
			}
		}
		var signed string
		if err := s.Admin.QueryRow(t.Context(), `SELECT signed FROM app.checkpoints WHERE encode(sha256(convert_to(signed, 'UTF8')), 'hex') = $1`, lines[2]).Scan(&signed); err != nil {
			t.Errorf("the commitment fits no checkpoint: %v", err)
		}
		if sum := sha256.Sum256([]byte(signed)); hex.EncodeToString(sum[:]) != lines[2] || strings.Contains(text, strings.Split(whole, "\n")[2]) {
			t.Errorf("the commitment is %q", text)
		}
	}
	ended := s.anonymous(t)
	ended.token = "pst_" + strings.Repeat("a", 40)
	ended.get("/v1/record/checkpoint").is(http.StatusUnauthorized)
}

// What is public is the clinic's choice. Readers of the record get all of it, whatever it is.
func TestWhatIsPublicIsASetting(t *testing.T) {
	t.Parallel()
	for public, want := range map[checkpoint.Public][2]int{ // key, checkpoint
		checkpoint.PublicNothing:    {http.StatusUnauthorized, http.StatusUnauthorized},
		checkpoint.PublicKey:        {http.StatusOK, http.StatusUnauthorized},
		checkpoint.PublicCommitment: {http.StatusOK, http.StatusOK},
	} {
		s := newSystem(t, func(c *process.WebConfig) { c.Public = public })
		ada := s.staff(t, "Ada Sender", policy.SendPortalMessage)
		rui := s.staff(t, "Rui Reviewer", policy.ReadRecord)
		s.portalUser(t, "pu-1")
		id := ada.send(letter("Your results", "pu-1"))
		s.Deliver(t, uuid.MustParse(id))
		rui.get("/v1/messages/" + id + "/deliveries/pu-1/receipt").is(http.StatusOK)
		s.Clock.Advance(time.Hour)
		anyone := s.anonymous(t)
		anyone.get("/v1/record/key").is(want[0])
		anyone.get("/v1/record/checkpoint").is(want[1])
		if want[1] != http.StatusOK {
			ada.get("/v1/record/checkpoint").is(http.StatusForbidden)
		}
		for _, path := range []string{"/v1/record/key", "/v1/record/checkpoint"} {
			rui.get(path).is(http.StatusOK)
		}
	}
}
