package roster

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
	"postern/internal/directory/field"
)

var (
	texts = rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`)
	uuids = rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	ids   = rapid.OneOf(texts, uuids, rapid.SampledFrom([]string{"a", "0123ABCD-0000-0000-0000-000000000000"}))
	days  = rapid.Custom(func(t *rapid.T) field.Date {
		if rapid.Bool().Draw(t, "open") {
			return field.Date{}
		}
		return field.Date{Day: rapid.Int32().Draw(t, "day"), Set: true}
	})
	links = rapid.Custom(func(t *rapid.T) Link {
		return Link{PatientNo: rapid.Int32Range(1, math.MaxInt32).Draw(t, "patient"), PatientID: ids.Draw(t, "patient id"), Self: rapid.Bool().Draw(t, "self"),
			From: days.Draw(t, "from"), Until: days.Draw(t, "until"), Discharged: rapid.Bool().Draw(t, "discharged"), Deceased: rapid.Bool().Draw(t, "deceased")}
	})
)

// drawPeople draws a block and some of its portal users.
func drawPeople(t *rapid.T) (block.No, []Person) {
	no := block.No(rapid.SampledFrom([]int32{0, 1, 127, 128, 4000, 8589933}).Draw(t, "block"))
	places := rapid.SliceOfNDistinct(rapid.IntRange(0, block.Size-1), 1, 8, rapid.ID).Draw(t, "places")
	slices.Sort(places)
	people := make([]Person, 0, len(places))
	for _, place := range places {
		p := Person{No: no.At(place), ID: ids.Draw(t, "id"), Active: rapid.Bool().Draw(t, "active"), Addressed: rapid.Bool().Draw(t, "addressed"),
			Links: rapid.SliceOfN(links, 0, rapid.SampledFrom([]int{1, 3, 70}).Draw(t, "links")).Draw(t, "links")}
		if len(p.Links) > 0 && rapid.Bool().Draw(t, "same id") {
			p.Links[0].PatientID = p.ID
		}
		key := func(l Link) int64 {
			k := int64(l.PatientNo) * 2
			if l.Self {
				k++
			}
			return k
		}
		slices.SortFunc(p.Links, func(a, b Link) int { return int(min(max(key(a)-key(b), -1), 1)) })
		p.Links = slices.CompactFunc(p.Links, func(a, b Link) bool { return key(a) == key(b) })
		people = append(people, p)
	}
	return no, people
}

func read(r Roster) (people []Person, err error) {
	err = r.Visit(func(p *Person) bool {
		one := *p
		one.Links = slices.Clone(p.Links)
		people = append(people, one)
		return true
	})
	return people, err
}

// A roster reads back as what was put in, with its names or without them.
func TestRostersReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		no, people := drawPeople(rt)
		r, err := Make(no, people)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := read(r)
		if diff := cmp.Diff(people, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			rt.Fatalf("%v (-made +read):\n%s", err, diff)
		}
		for i := range people {
			people[i].ID = ""
			for j := range people[i].Links {
				people[i].Links[j].PatientID, people[i].Links[j].PatientNo = "", 0
			}
		}
		got, err = read(Roster{Block: no, Facts: r.Facts})
		if diff := cmp.Diff(people, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			rt.Fatalf("without names: %v (-made +read):\n%s", err, diff)
		}
	})
}

// Bytes that read as a roster are the canonical form of what they say.
func TestRostersHaveOneForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		no, people := drawPeople(rt)
		r, err := Make(no, people)
		if err != nil {
			rt.Fatal(err)
		}
		of := rapid.SampledFrom([]*[]byte{&r.Facts, &r.Names}).Draw(rt, "object")
		at := rapid.IntRange(0, len(*of)-1).Draw(rt, "at")
		with := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 3, 127, 128, 255}), 0, 2).Draw(rt, "with")
		*of = slices.Replace(*of, at, at+rapid.IntRange(0, 1).Draw(rt, "instead of"), with...)
		mustBeCanonical(rt, r)
	})
}

func mustBeCanonical(t interface{ Fatalf(string, ...any) }, r Roster) {
	people, err := read(r)
	if err != nil {
		if !errors.Is(err, ErrForm) {
			t.Fatalf("another error: %v", err)
		}
		return
	}
	again, err := Make(r.Block, people)
	if err != nil || !again.Equal(&r) {
		t.Fatalf("%x %x reads as %+v, whose form is %x %x (%v)", r.Facts, r.Names, people, again.Facts, again.Names, err)
	}
}

func FuzzRoster(f *testing.F) {
	r, err := Make(1, []Person{
		{No: 251, ID: "0b7ad6e0-0000-4000-8000-00000000000a", Active: true, Addressed: true, Links: []Link{{PatientNo: 251, PatientID: "0b7ad6e0-0000-4000-8000-00000000000a", Self: true}}},
		{No: 260, ID: "pu-1", Links: []Link{{PatientNo: 1, PatientID: "pt-1", From: field.Date{Day: 9000, Set: true}}, {PatientNo: 1, PatientID: "pt-1", Self: true, Deceased: true}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Facts, r.Names)
	f.Fuzz(func(t *testing.T, facts, names []byte) {
		if names == nil {
			names = []byte{}
		}
		mustBeCanonical(t, Roster{Block: 1, Facts: facts, Names: names})
	})
}

// A padded number, an id in another form than its own, and people or links out of order are
// refused.
func TestOtherFormsAreRefused(t *testing.T) {
	t.Parallel()
	facts := func(rest ...byte) []byte { return append([]byte{1, 0}, rest...) }
	for name, r := range map[string]Roster{
		"nothing":                    {Facts: []byte{}},
		"no person":                  {Facts: facts()},
		"another version":            {Facts: []byte{2, 0, 0, 0}},
		"another block":              {Facts: []byte{1, 1, 0, 0}},
		"a padded block":             {Facts: []byte{1, 0x80, 0, 0, 0}},
		"a place outside":            {Facts: facts(250, 0)},
		"a place twice":              {Facts: facts(4, 0, 4, 0)},
		"places out of order":        {Facts: facts(4, 0, 3, 0)},
		"cut":                        {Facts: facts(4)},
		"a link that is not there":   {Facts: facts(4, 1<<2)},
		"unknown flags":              {Facts: facts(4, 1<<2, 32)},
		"a padded date":              {Facts: facts(4, 1<<2, 8, 0x80, 0)},
		"a date too large":           {Facts: facts(4, 1<<2, 8, 0xff, 0xff, 0xff, 0xff, 0x7f)},
		"more links than 2³¹":        {Facts: facts(4, 63<<2, 0xff, 0xff, 0xff, 0xff, 0x7f)},
		"names of another person":    {Facts: facts(4, 0), Names: facts(5, 0, 1, 'a')},
		"names with more links":      {Facts: facts(4, 0), Names: facts(4, 1, 1, 'a', 0, 0)},
		"names of more people":       {Facts: facts(4, 0), Names: facts(4, 0, 1, 'a', 5, 0, 1, 'b')},
		"no names":                   {Facts: facts(4, 0), Names: facts()},
		"an id of nothing":           {Facts: facts(4, 0), Names: facts(4, 0, 0)},
		"an id with a space":         {Facts: facts(4, 0), Names: facts(4, 0, 1, ' ')},
		"an id of 65 bytes":          {Facts: facts(4, 0), Names: append(facts(4, 0, 65), strings.Repeat("a", 65)...)},
		"a UUID as a text":           {Facts: facts(4, 0), Names: append(facts(4, 0, 36), "0b7ad6e0-0000-4000-8000-00000000000a"...)},
		"the same id written out":    {Facts: facts(4, 1<<2, 1), Names: facts(4, 1, 1, 'a', 0, 1, 'a')},
		"a patient number of 0":      {Facts: facts(4, 1<<2, 1), Names: facts(4, 1, 1, 'a', 9, 0)},
		"links out of order":         {Facts: facts(4, 2<<2, 1, 1), Names: facts(4, 2, 1, 'a', 2, 1, 'b', 0, 1, 'c')},
		"self before representative": {Facts: facts(4, 2<<2, 1, 0), Names: facts(4, 2, 1, 'a', 2, 1, 'b', 2, 1, 'b')},
	} {
		if err := r.Check(); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %x %x reads as a roster (%v)", name, r.Facts, r.Names, err)
		}
	}
	for name, people := range map[string][]Person{
		"nobody":            {},
		"of another block":  {{No: 251, ID: "a"}},
		"out of order":      {{No: 2, ID: "a"}, {No: 1, ID: "b"}},
		"without an id":     {{No: 1}},
		"with a long id":    {{No: 1, ID: strings.Repeat("a", 65)}},
		"a link twice":      {{No: 1, ID: "a", Links: []Link{{PatientNo: 1, PatientID: "p"}, {PatientNo: 1, PatientID: "p"}}}},
		"a patient without": {{No: 1, ID: "a", Links: []Link{{PatientNo: 1}}}},
		"no patient number": {{No: 1, ID: "a", Links: []Link{{PatientID: "p"}}}},
	} {
		if _, err := Make(0, people); !errors.Is(err, ErrForm) {
			t.Errorf("people %s make a roster (%v)", name, err)
		}
	}
}

// A person without dates has three bytes of facts, and 39 of names if the ids are UUIDs.
func TestSizes(t *testing.T) {
	t.Parallel()
	r := full(0)
	if f, n := len(r.Facts)-2, len(r.Names)-2; f != 3*block.Size || n > 39*block.Size {
		t.Errorf("the facts of %d people have %d bytes, the names %d", block.Size, f, n)
	}
}

// A link counts from its first day to its last.
func TestTerms(t *testing.T) {
	t.Parallel()
	on := func(d int32) field.Date { return field.Date{Day: d, Set: true} }
	for _, c := range []struct {
		l    Link
		want Term
	}{
		{Link{}, InForce}, {Link{From: on(10)}, InForce}, {Link{Until: on(10)}, InForce}, {Link{From: on(10), Until: on(10)}, InForce},
		{Link{Until: on(9)}, Ended}, {Link{From: on(11)}, NotBegun}, {Link{From: on(-5), Until: on(-4)}, Ended},
	} {
		if got := c.l.On(10); got != c.want {
			t.Errorf("%+v is %d, want %d", c.l, got, c.want)
		}
	}
}

// full returns a roster of a full block, with UUIDs and one link each.
func full(no block.No) Roster {
	people := make([]Person, block.Size)
	for i := range people {
		n := no.At(i)
		people[i] = Person{No: n, ID: fmt.Sprintf("%08x-3b1c-4c5e-9f00-0123456789ab", n), Active: true, Addressed: true,
			Links: []Link{{PatientNo: n + 7, PatientID: fmt.Sprintf("%08x-3b1c-4c5e-9f00-ba9876543210", n), Self: true}}}
	}
	r, err := Make(no, people)
	if err != nil {
		panic(err)
	}
	return r
}

// Content changes with each of its parts.
func TestContentCoversItsParts(t *testing.T) {
	t.Parallel()
	a, b := full(1), full(2)
	seen := map[Digest]bool{}
	for _, c := range []Digest{Content(1, a.FactsDigest(), a.NamesDigest()), Content(2, a.FactsDigest(), a.NamesDigest()),
		Content(1, b.FactsDigest(), a.NamesDigest()), Content(1, a.FactsDigest(), b.NamesDigest()), Content(1, a.NamesDigest(), a.FactsDigest())} {
		if seen[c] {
			t.Errorf("%s twice", c)
		}
		seen[c] = true
	}
	if !bytes.Equal(a.Facts, full(1).Facts) {
		t.Error("a roster is not the same twice")
	}
}

// The target: the facts of a million people in 50 ms.
func BenchmarkVisitFacts(b *testing.B) {
	rosters := make([]Roster, 4000)
	for i := range rosters {
		rosters[i] = Roster{Block: block.No(i), Facts: full(block.No(i)).Facts}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for i := range rosters {
			if err := rosters[i].Visit(func(p *Person) bool { n += len(p.Links); return true }); err != nil {
				b.Fatal(err)
			}
		}
		if n != 1_000_000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	people, err := read(full(9))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Make(9, people); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoot(b *testing.B) {
	r, s := full(9), NewSecret()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Root(s); err != nil {
			b.Fatal(err)
		}
	}
}
