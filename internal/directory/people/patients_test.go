package people

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/directory/roster"
)

// Patients are found as they were added, in whichever part they were read: those whose id is a
// UUID, which is stored in sixteen bytes, and those with any other id, also one that is almost one.
func TestPatientsAreFoundAsTheyWereAdded(t *testing.T) {
	t.Parallel()
	type known struct {
		id    string
		state state
	}
	id := rapid.OneOf(rapid.Custom(func(t *rapid.T) string {
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")).String()
	}), rapid.StringMatching(`[A-Za-z0-9._-]{1,40}`), rapid.SampledFrom([]string{
		"6F1C8A52-3B7E-5D3F-9A64-0C5A2F1E7B90", "6f1c8a523b7e5d3f9a640c5a2f1e7b90", "{6f1c8a52-3b7e-5d3f-9a64-0c5a2f1e7b}", "6f1c8a52-3b7e-5d3f-9a64-0c5a2f1e7b9g"}))
	rapid.Check(t, func(rt *rapid.T) {
		var parts [2]patients
		want := map[int32]known{}
		for range rapid.IntRange(0, 40).Draw(rt, "patients") {
			no := rapid.OneOf(rapid.Int32Range(0, 20), rapid.Int32Range(0, 5*pageSize)).Draw(rt, "no")
			if _, again := want[no]; again {
				continue
			}
			k := known{id.Draw(rt, "id"), rapid.SampledFrom([]state{0, discharged, deceased, discharged | deceased}).Draw(rt, "state")}
			want[no] = k
			parts[rapid.IntRange(0, 1).Draw(rt, "part")].add(no, []byte(k.id), k.state)
		}
		var all patients
		all.take(parts[0])
		all.take(parts[1])
		var ids idBlock
		for no := range int32(6 * pageSize) {
			k, is := want[no]
			l := roster.Link{PatientNo: no}
			if found := all.complete(&l, &ids); found != is {
				rt.Fatalf("patient %d is found: %v", no, found)
			}
			if is && (l.PatientID != k.id || l.Discharged != (k.state&discharged != 0) || l.Deceased != (k.state&deceased != 0)) {
				rt.Errorf("patient %d is %+v, and was added as %+v", no, l, k)
			}
		}
	})
}
