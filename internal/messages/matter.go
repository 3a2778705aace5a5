package messages

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/audience/matter"
	"postern/internal/directory/roster/cited"
	"postern/internal/inbox/delivered"
)

// Concerned is whom the message to one recipient concerns.
type Concerned struct {
	Basis    matter.Basis // "" if what the directory said then is missing
	Patients []Patient
	Ended    bool // see [matter.Matter.Ended]
}

// Patient is a patient by the present name, which is the id for one who is not in the directory.
type Patient struct{ ID, Name string }

// Concerned returns whom a message concerns, for the recipients with the numbers of some deliveries.
func (rd *Reader) Concerned(ctx context.Context, message uuid.UUID, to []Delivery) (map[int32]Concerned, error) {
	if len(to) == 0 {
		return nil, nil
	}
	nos := make([]int32, len(to))
	for i, d := range to {
		nos[i] = d.PortalUserNo
	}
	all := map[int32]Concerned{}
	found, err := delivered.Matters(ctx, rd.pool, message, nos)
	if errors.Is(err, cited.ErrDamaged) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range found {
		ids = append(ids, m.IDs()...)
	}
	rows, err := rd.pool.Query(ctx, `SELECT patient_id, trim(given_name || ' ' || family_name) FROM app.patients WHERE patient_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("naming patients: %w", err)
	}
	names := map[string]string{}
	var id, name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil }); err != nil {
		return nil, fmt.Errorf("naming patients: %w", err)
	}
	for no, m := range found {
		c := Concerned{Basis: m.Basis, Patients: []Patient{}, Ended: m.Ended()}
		for _, id := range m.IDs() {
			if name = names[id]; name == "" {
				name = id
			}
			c.Patients = append(c.Patients, Patient{id, name})
		}
		all[no] = c
	}
	return all, nil
}
