package torture

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
)

// people are the portal users of the clinic under test. Each is also a patient; nearly
// all are active and have their own address.
type people struct {
	all       int
	audience  map[string]string // of a message to all: portal user id → address, "" for none
	noAddress int
}

// newPeople makes n people. In every hundred, two have no address, two share the
// address of the person before them, and one has an inactive account.
func newPeople(n int) people {
	p := people{all: n, audience: make(map[string]string, n)}
	for i := range n {
		if p.inactive(i) {
			continue
		}
		p.audience[p.id(i)] = p.address(i)
		if p.address(i) == "" {
			p.noAddress++
		}
	}
	return p
}

func (people) id(i int) string     { return fmt.Sprintf("pu-%06d", i) }
func (people) inactive(i int) bool { return i%100 == 42 }

func (people) address(i int) string {
	switch i % 50 {
	case 7:
		return ""
	case 13:
		i-- // the address of the person before
	}
	return fmt.Sprintf("p%06d@example.test", i)
}

// chunks is the number of chunks of a message to all.
func (p people) chunks() int { return (len(p.audience) + 999) / 1000 }

// importPeople imports n people with `postern import csv`.
func (s *system) importPeople(n int) {
	s.Helper()
	s.people = newPeople(n)
	var files []string
	for name, write := range map[string]func(w *bufio.Writer, i int){
		"patients.csv": func(w *bufio.Writer, i int) {
			_, _ = fmt.Fprintf(w, "pt-%06d,Given,Family,1970-01-01,active,false\n", i)
		},
		"portal_users.csv": func(w *bufio.Writer, i int) {
			_, _ = fmt.Fprintf(w, "%s,Given Family,%s,%t\n", s.people.id(i), s.people.address(i), !s.people.inactive(i))
		},
		"links.csv": func(w *bufio.Writer, i int) {
			_, _ = fmt.Fprintf(w, "%s,pt-%06d,self,,\n", s.people.id(i), i)
		},
	} {
		files = append(files, filepath.Join(s.dir, name))
		s.writeLines(filepath.Join(s.dir, name), headers[name], n, write)
	}
	s.verb(append([]string{"import", "csv"}, files...)...)
}

var headers = map[string]string{
	"patients.csv":     "patient_id,given_name,family_name,birth_date,status,deceased",
	"portal_users.csv": "portal_user_id,name,email,active",
	"links.csv":        "portal_user_id,patient_id,relationship,from,until",
}

func (s *system) writeLines(path, header string, n int, write func(*bufio.Writer, int)) {
	s.Helper()
	file, err := os.Create(path) // #nosec G304 -- in the test's own folder
	if err != nil {
		s.Fatal(err)
	}
	w := bufio.NewWriter(file)
	_, _ = fmt.Fprintln(w, header)
	for i := range n {
		write(w, i)
	}
	if err := w.Flush(); err != nil {
		s.Fatal(err)
	}
	if err := file.Close(); err != nil {
		s.Fatal(err)
	}
}

// signIn creates the sender's account and token.
func (s *system) signIn() {
	s.Helper()
	s.verb("staff", "create", "--email", "sender@clinic.example.test", "--name", "Sender",
		"--permit", "send_portal_message,send_bulk_portal_message")
	s.token = s.verb("token", "create", "--staff", "sender@clinic.example.test")
}
