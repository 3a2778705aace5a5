package reports

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// sending is a call of SendGrid: whose alerts it held, by position in the chunk.
type sending struct {
	message        uuid.UUID
	chunk, attempt int
	nos            []int32 // 0: not in this call
}

func (s *sending) holds(position int) bool {
	return s != nil && position >= 0 && position < len(s.nos) && s.nos[position] != 0
}

// mostSendings is how many calls are remembered, up to 4 kB each: those of the
// last four million alerts.
const mostSendings = 4096

// facts finds out which alert each report is about, and makes a fact of those of one
// message. Only then are repeats left out: a report that is about none of ours takes
// nothing from another with its id.
func (r *Receiver) facts(ctx context.Context, reports []Report) (facts []events.Body, kept int, fresh []*Report, err error) {
	sendings, err := r.sendingsOf(ctx, reports)
	if err != nil {
		return nil, 0, nil, err
	}
	var ours, others []*Report
	for i := range reports {
		one := &reports[i]
		if s := sendings[one.Request]; s.holds(one.Position) {
			one.PortalUserNo = s.nos[one.Position]
			ours = append(ours, one)
		} else if one.AddressIsDead() {
			others = append(others, one)
		}
	}
	if fresh = r.acked.without(ours); len(fresh) > 0 {
		if err := r.nameAll(ctx, fresh); err != nil {
			return nil, 0, nil, err
		}
		if err := r.findDead(ctx, fresh); err != nil {
			return nil, 0, nil, err
		}
		for _, fact := range group(fresh, sendings) {
			facts = append(facts, fact)
		}
	}
	kept = len(ours)
	for _, one := range r.acked.without(others) {
		fact, err := r.address(ctx, one)
		if err != nil {
			return nil, 0, nil, err
		}
		if len(fact.Dead) > 0 {
			facts, fresh, kept = append(facts, fact), append(fresh, one), kept+1
		}
	}
	return facts, kept, fresh, nil
}

// maxFact ends a fact before its event outgrows what a NATS server takes by default
// (1 MiB).
const maxFact = 512 << 10

// sizeOf is about how many bytes a report takes in an event.
func sizeOf(r *Report) int {
	const fields, dead = 400, 120
	return fields + len(r.ID) + len(r.Status) + 2*len(r.Reason) + len(r.PortalUserID) + dead*len(r.Dead)
}

// group puts reports under their call, and calls under their message, in the order
// in which they came. A message of which much is reported gets several facts.
func group(reports []*Report, sendings map[uuid.UUID]*sending) (facts []*events.AlertsReported) {
	ofMessage := map[uuid.UUID]*events.AlertsReported{}
	size := map[uuid.UUID]int{}  // of the fact that a message has last
	place := map[uuid.UUID]int{} // of a call in it
	for _, r := range reports {
		s := sendings[r.Request]
		fact := ofMessage[s.message]
		if fact != nil && size[s.message]+sizeOf(r) > maxFact {
			for _, call := range fact.Requests {
				delete(place, call.RequestID)
			}
			fact = nil
		}
		if fact == nil {
			fact = &events.AlertsReported{MessageID: s.message}
			ofMessage[s.message], size[s.message] = fact, 0
			facts = append(facts, fact)
		}
		size[s.message] += sizeOf(r)
		at, known := place[r.Request]
		if !known {
			at = len(fact.Requests)
			place[r.Request] = at
			fact.Requests = append(fact.Requests, events.ReportedRequest{RequestID: r.Request, Chunk: s.chunk, Attempt: s.attempt})
		}
		fact.Requests[at].Reports = append(fact.Requests[at].Reports, r.Report)
	}
	return facts
}

// sendingsOf gives the calls that reports come from. What is not among them is none
// of ours.
func (r *Receiver) sendingsOf(ctx context.Context, reports []Report) (map[uuid.UUID]*sending, error) {
	found := map[uuid.UUID]*sending{}
	var missing []uuid.UUID
	r.mu.Lock()
	for _, one := range reports {
		if _, looked := found[one.Request]; looked || one.Request == uuid.Nil {
			continue
		}
		found[one.Request] = r.sendings[one.Request]
		if found[one.Request] == nil {
			missing = append(missing, one.Request)
		}
	}
	r.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	read, err := r.readSendings(ctx, missing)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sendings)+len(read) > mostSendings {
		clear(r.sendings)
	}
	for id, s := range read {
		found[id], r.sendings[id] = s, s
	}
	return found, nil
}

// A chunk's deliveries are one range of the key, and a position is the place in it.
const selectSendings = `
	SELECT a.request_id, a.message_id, a.chunk, a.attempt, a.recipients, ARRAY(
	    SELECT d.portal_user_no FROM record.deliveries d
	    WHERE d.message_id = c.message_id AND d.portal_user_no BETWEEN c.first_no AND c.last_no ORDER BY d.portal_user_no)
	FROM app.attempts a JOIN record.chunks c USING (message_id, chunk)
	WHERE a.request_id = ANY($1)`

func (r *Receiver) readSendings(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*sending, error) {
	rows, err := r.Pool.Query(ctx, selectSendings, ids)
	if err != nil {
		return nil, fmt.Errorf("looking for the calls that are reported on: %w", err)
	}
	read := map[uuid.UUID]*sending{}
	var id uuid.UUID
	var s sending
	var bits []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &s.message, &s.chunk, &s.attempt, &bits, &s.nos}, func() error {
		one := s
		one.nos = append([]int32(nil), s.nos...)
		for i := range one.nos {
			if i/8 >= len(bits) || bits[i/8]&(1<<(i%8)) == 0 {
				one.nos[i] = 0
			}
		}
		read[id] = &one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for the calls that are reported on: %w", err)
	}
	return read, nil
}

const selectHaving = `SELECT portal_user_id, portal_user_no, email_version FROM app.portal_users
	WHERE lower(email) = lower($1) AND email <> '' ORDER BY portal_user_no LIMIT 100`

// address makes a fact of a report of a dead address that names no alert of ours: of the
// portal users who have that address, none where there are none.
func (r *Receiver) address(ctx context.Context, report *Report) (events.AddressReported, error) {
	fact := events.AddressReported{ID: report.ID, Type: report.Type, At: report.At, Status: report.Status, Reason: report.Reason}
	email := report.Address()
	if email == "" || !utf8.ValidString(email) || strings.ContainsRune(email, 0) {
		return fact, nil
	}
	rows, err := r.Pool.Query(ctx, selectHaving, email)
	if err != nil {
		return fact, fmt.Errorf("looking whose address it is: %w", err)
	}
	if fact.Dead, err = pgx.CollectRows(rows, pgx.RowToStructByPos[events.DeadAddress]); err != nil {
		return fact, fmt.Errorf("looking whose address it is: %w", err)
	}
	return fact, nil
}

// nameAll puts the ids of portal users beside their numbers.
func (r *Receiver) nameAll(ctx context.Context, reports []*Report) error {
	nos := make([]int32, len(reports))
	for i, one := range reports {
		nos[i] = one.PortalUserNo
	}
	rows, err := r.Pool.Query(ctx, `SELECT portal_user_no, portal_user_id FROM app.portal_users WHERE portal_user_no = ANY($1)`, nos)
	if err != nil {
		return fmt.Errorf("naming the portal users: %w", err)
	}
	ids := make(map[int32]string, len(nos))
	var no int32
	var id string
	if _, err = pgx.ForEachRow(rows, []any{&no, &id}, func() error { ids[no] = id; return nil }); err != nil {
		return fmt.Errorf("naming the portal users: %w", err)
	}
	for _, one := range reports {
		one.PortalUserID = ids[one.PortalUserNo]
	}
	return nil
}

// Families share an address, so it is looked up whose it is. Many more than a
// family are not named; who is left out is reported on at the next alert.
const selectSharing = `
	SELECT v.portal_user_no, v.email, u.portal_user_id, u.portal_user_no, u.email_version
	FROM app.portal_users v CROSS JOIN LATERAL (
	    SELECT * FROM app.portal_users o WHERE lower(o.email) = lower(v.email) AND o.email <> ''
	    ORDER BY o.portal_user_no <> v.portal_user_no, o.portal_user_no LIMIT 100) u
	WHERE v.portal_user_no = ANY($1) AND v.email <> ''`

// findDead notes on each report of a dead address who has that address now. Of
// several reports of one address the first bears the note.
func (r *Receiver) findDead(ctx context.Context, reports []*Report) error {
	var nos []int32
	for _, one := range reports {
		if one.AddressIsDead() {
			nos = append(nos, one.PortalUserNo)
		}
	}
	if len(nos) == 0 {
		return nil
	}
	rows, err := r.Pool.Query(ctx, selectSharing, nos)
	if err != nil {
		return fmt.Errorf("looking whose address it is: %w", err)
	}
	emails, sharing := map[int32]string{}, map[int32][]events.DeadAddress{}
	var no int32
	var email string
	var d events.DeadAddress
	_, err = pgx.ForEachRow(rows, []any{&no, &email, &d.PortalUserID, &d.PortalUserNo, &d.Version}, func() error {
		emails[no] = email
		sharing[no] = append(sharing[no], d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking whose address it is: %w", err)
	}
	noted := map[string]bool{}
	for _, one := range reports {
		email := emails[one.PortalUserNo]
		// An address that is another by now is not known to be dead.
		if email == "" || !one.AddressIsDead() || !one.IsTo(email) || noted[strings.ToLower(email)] {
			continue
		}
		noted[strings.ToLower(email)] = true
		one.Dead = sharing[one.PortalUserNo]
	}
	return nil
}
