package reports

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/notify/recipients"
)

// sentRequest is a request to SendGrid.
type sentRequest struct {
	message        uuid.UUID
	chunk, attempt int
	positions      []byte  // of its recipients in the chunk, a bit each
	nos            []int32 // portal user numbers of the chunk's recipients, by position
}

func (s *sentRequest) holds(position int) bool {
	return s != nil && position >= 0 && position < min(len(s.nos), 8*len(s.positions)) && s.positions[position/8]&(1<<(position%8)) != 0
}

// maxRequests is the number of requests kept in memory, up to 4 kB each: those of the
// last four million alerts.
const maxRequests = 4096

// facts finds the alert of each report, and makes a fact from the reports of one message.
// It leaves out repeats only after that, so that a report about no alert of Postern does
// not hide another report with its id.
func (r *Receiver) facts(ctx context.Context, reports []Report) (facts []events.Body, kept int, fresh []*Report, err error) {
	requests, err := r.requestsOf(ctx, reports)
	if err != nil {
		return nil, 0, nil, err
	}
	var ours, others []*Report
	for i := range reports {
		one := &reports[i]
		if s := requests[one.Request]; s.holds(one.Position) {
			one.PortalUserNo = s.nos[one.Position]
			ours = append(ours, one)
		} else if one.AddressIsDead() {
			others = append(others, one)
		}
	}
	if fresh = r.acked.unseen(ours); len(fresh) > 0 {
		if err := r.nameAll(ctx, fresh); err != nil {
			return nil, 0, nil, err
		}
		if err := r.findDead(ctx, fresh); err != nil {
			return nil, 0, nil, err
		}
		for _, fact := range group(fresh, requests) {
			facts = append(facts, fact)
		}
	}
	kept = len(ours)
	for _, one := range r.acked.unseen(others) {
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

// maxFact limits the size of a fact, so that its event stays below a NATS server's
// default limit (1 MiB).
const maxFact = 512 << 10

// sizeOf estimates the bytes of a report in an event.
func sizeOf(r *Report) int {
	const fields, dead = 400, 120
	return fields + len(r.ID) + len(r.Status) + 2*len(r.Reason) + len(r.PortalUserID) + dead*len(r.Dead)
}

// group groups reports by request, and requests by message, in the order of arrival. A
// message with many reports gets several facts.
func group(reports []*Report, requests map[uuid.UUID]*sentRequest) (facts []*events.AlertsReported) {
	ofMessage := map[uuid.UUID]*events.AlertsReported{}
	size := map[uuid.UUID]int{}  // by message: the size of its last fact
	index := map[uuid.UUID]int{} // by request: its index in that fact
	for _, r := range reports {
		s := requests[r.Request]
		fact := ofMessage[s.message]
		if fact != nil && size[s.message]+sizeOf(r) > maxFact {
			for _, request := range fact.Requests {
				delete(index, request.RequestID)
			}
			fact = nil
		}
		if fact == nil {
			fact = &events.AlertsReported{MessageID: s.message}
			ofMessage[s.message], size[s.message] = fact, 0
			facts = append(facts, fact)
		}
		size[s.message] += sizeOf(r)
		at, known := index[r.Request]
		if !known {
			at = len(fact.Requests)
			index[r.Request] = at
			fact.Requests = append(fact.Requests, events.ReportedRequest{RequestID: r.Request, Chunk: s.chunk, Attempt: s.attempt})
		}
		fact.Requests[at].Reports = append(fact.Requests[at].Reports, r.Report)
	}
	return facts
}

// requestsOf gives the requests of the reports. A request that it does not find was not
// made by Postern.
func (r *Receiver) requestsOf(ctx context.Context, reports []Report) (map[uuid.UUID]*sentRequest, error) {
	found := map[uuid.UUID]*sentRequest{}
	var missing []uuid.UUID
	r.mu.Lock()
	for _, one := range reports {
		if _, looked := found[one.Request]; looked || one.Request == uuid.Nil {
			continue
		}
		found[one.Request] = r.requests[one.Request]
		if found[one.Request] == nil {
			missing = append(missing, one.Request)
		}
	}
	r.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	read, err := r.readRequests(ctx, missing)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests)+len(read) > maxRequests {
		clear(r.requests)
	}
	for id, s := range read {
		found[id], r.requests[id] = s, s
	}
	return found, nil
}

const selectRequests = `
	SELECT a.request_id, a.message_id, a.chunk, a.attempt, a.recipients, i.block, i.members
	FROM app.attempts a JOIN record.chunks c USING (message_id, chunk)` + recipients.Blocks + `
	WHERE a.request_id = ANY($1) ORDER BY i.block`

func (r *Receiver) readRequests(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*sentRequest, error) {
	rows, err := r.Pool.Query(ctx, selectRequests, ids)
	if err != nil {
		return nil, fmt.Errorf("reading the requests of the reports: %w", err)
	}
	read := map[uuid.UUID]*sentRequest{}
	var id uuid.UUID
	var s sentRequest
	var b block.No
	var members []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &s.message, &s.chunk, &s.attempt, &s.positions, &b, &members}, func() (err error) {
		if read[id] == nil {
			read[id] = &sentRequest{message: s.message, chunk: s.chunk, attempt: s.attempt, positions: s.positions}
		}
		read[id].nos, err = recipients.Append(read[id].nos, b, members)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the requests of the reports: %w", err)
	}
	return read, nil
}

const selectHaving = `SELECT portal_user_id, portal_user_no, email_version FROM app.portal_users
	WHERE lower(email) = lower($1) AND email <> '' ORDER BY portal_user_no LIMIT 100`

// address makes a fact from a report of a dead address that refers to no alert of
// Postern. The fact has the portal users with that address; it may have none.
func (r *Receiver) address(ctx context.Context, report *Report) (events.AddressReported, error) {
	fact := events.AddressReported{ID: report.ID, Type: report.Type, At: report.At, Status: report.Status, Reason: report.Reason}
	email := report.Address()
	if email == "" || !utf8.ValidString(email) || strings.ContainsRune(email, 0) {
		return fact, nil
	}
	rows, err := r.Pool.Query(ctx, selectHaving, email)
	if err != nil {
		return fact, fmt.Errorf("finding the portal users with an address: %w", err)
	}
	if fact.Dead, err = pgx.CollectRows(rows, pgx.RowToStructByPos[events.DeadAddress]); err != nil {
		return fact, fmt.Errorf("finding the portal users with an address: %w", err)
	}
	return fact, nil
}

// nameAll adds the ids of the portal users to their numbers.
func (r *Receiver) nameAll(ctx context.Context, reports []*Report) error {
	nos := make([]int32, len(reports))
	for i, one := range reports {
		nos[i] = one.PortalUserNo
	}
	rows, err := r.Pool.Query(ctx, `SELECT portal_user_no, portal_user_id FROM app.portal_users WHERE portal_user_no = ANY($1)`, nos)
	if err != nil {
		return fmt.Errorf("reading the portal users' ids: %w", err)
	}
	ids := make(map[int32]string, len(nos))
	var no int32
	var id string
	if _, err = pgx.ForEachRow(rows, []any{&no, &id}, func() error { ids[no] = id; return nil }); err != nil {
		return fmt.Errorf("reading the portal users' ids: %w", err)
	}
	for _, one := range reports {
		one.PortalUserID = ids[one.PortalUserNo]
	}
	return nil
}

// Families share an address, so all portal users with the address are found, up to 100.
// Any others are found at a later report.
const selectSharing = `
	SELECT v.portal_user_no, v.email, u.portal_user_id, u.portal_user_no, u.email_version
	FROM app.portal_users v CROSS JOIN LATERAL (
	    SELECT portal_user_id, portal_user_no, email_version FROM app.portal_users o WHERE lower(o.email) = lower(v.email) AND o.email <> ''
	    ORDER BY o.portal_user_no <> v.portal_user_no, o.portal_user_no LIMIT 100) u
	WHERE v.portal_user_no = ANY($1) AND v.email <> ''`

// findDead adds to each report of a dead address the portal users who have that address
// now. If several reports are about one address, only the first gets them.
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
		return fmt.Errorf("finding the portal users with an address: %w", err)
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
		return fmt.Errorf("finding the portal users with an address: %w", err)
	}
	done := map[string]bool{}
	for _, one := range reports {
		email := emails[one.PortalUserNo]
		// If the portal user has another address by now, that one is not known to be dead.
		if email == "" || !one.AddressIsDead() || !one.IsTo(email) || done[strings.ToLower(email)] {
			continue
		}
		done[strings.ToLower(email)] = true
		one.Dead = sharing[one.PortalUserNo]
	}
	return nil
}
