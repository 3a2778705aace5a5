package resources

import (
	"maps"
	"slices"

	"postern/internal/directory/source"
)

// succession holds which patients are replaced and by which patient, computed from the
// Patient.link elements (https://hl7.org/fhir/R4/patient.html#links).
type succession struct {
	successor map[string]string   // by replaced patient: the last successor of the chain, "" if it can't be found
	related   map[string][]string // by patient in a claim: all patients that claims connect with it, including itself
}

// contradiction is a set of patients whose claims can't all be true.
type contradiction struct {
	patients []string
	reason   string
}

func (c contradiction) String() string {
	if len(c.patients) == 1 {
		return "the patient " + c.patients[0] + " is replaced by itself"
	}
	return "the patients " + some(c.patients) + " " + c.reason
}

// resolveSuccessions finds the last successor of each replaced patient, and the claims
// that contradict each other. A replaced patient without a contradiction has exactly one
// last successor.
func resolveSuccessions(claims []source.Replacement) (s succession, wrong []contradiction) {
	next := map[string][]string{} // the claimed successors of each patient
	near := map[string][]string{} // the patients that a claim names together, in both directions
	for _, c := range claims {
		if !slices.Contains(next[c.Replaced], c.Successor) {
			next[c.Replaced] = append(next[c.Replaced], c.Successor)
		}
		near[c.Replaced] = append(near[c.Replaced], c.SaidBy)
		near[c.SaidBy] = append(near[c.SaidBy], c.Replaced)
		if c.Successor != "" {
			near[c.Replaced] = append(near[c.Replaced], c.Successor)
			near[c.Successor] = append(near[c.Successor], c.Replaced)
		}
	}
	s = succession{successor: map[string]string{}, related: map[string][]string{}}
	for _, id := range slices.Sorted(maps.Keys(near)) {
		if s.related[id] != nil {
			continue
		}
		group := reach(near, id)
		slices.Sort(group)
		for _, member := range group {
			s.related[member] = group
		}
		if c := s.settle(next, group); c.reason != "" {
			wrong = append(wrong, c)
		}
	}
	return s, wrong
}

// settle finds the last successor for each replaced patient of a group.
func (s succession) settle(next map[string][]string, group []string) contradiction {
	for _, id := range group {
		if next[id] == nil {
			continue
		}
		after := reach(next, next[id]...)
		if slices.Contains(after, id) {
			return contradiction{group, "replace one another in a circle"}
		}
		ends := slices.DeleteFunc(slices.Clone(after), func(n string) bool { return next[n] != nil })
		if len(ends) > 1 { // a known successor is preferred to an unknown one
			ends = slices.DeleteFunc(ends, func(n string) bool { return n == "" })
		}
		switch len(ends) {
		case 0:
			return contradiction{group, "replace one another in a circle"}
		case 1:
			s.successor[id] = ends[0]
		default:
			return contradiction{group, "are replaced by more than one other patient"}
		}
	}
	return contradiction{}
}

// reach returns the starts and all patients that can be reached from them, each once.
func reach(next map[string][]string, starts ...string) (reached []string) {
	seen := map[string]bool{}
	add := func(ids []string) {
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				reached = append(reached, id)
			}
		}
	}
	add(starts)
	for i := 0; i < len(reached); i++ {
		add(next[reached[i]])
	}
	return reached
}
