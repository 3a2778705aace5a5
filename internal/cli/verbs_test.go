package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md")

//go:generate go test -run TestVerbsAreDocumented$ -update .

func init() {
	// Every test that runs a verb with --json thereby checks the table of outputs.
	checkOutput = func(verb string, value any) {
		for _, declared := range outputs[verb] {
			got, want := reflect.TypeOf(value), reflect.TypeOf(declared)
			if got == want || want.Kind() == reflect.Slice && got == want.Elem() || got.Kind() == reflect.Pointer && got.Elem() == want {
				return
			}
		}
		panic(fmt.Sprintf("%q printed a %T in JSON: declare it in outputs", verb, value))
	}
}

// verbs calls f for each verb that does something, with its path without "postern".
func verbs(f func(verb string, cmd *cobra.Command)) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		below := verbsOf(cmd)
		if cmd.HasParent() && cmd.Annotations[onlyVerbs] == "" {
			f(strings.TrimPrefix(cmd.CommandPath(), "postern "), cmd)
		}
		for _, verb := range below {
			walk(verb)
		}
	}
	walk((&environment{out: &bytes.Buffer{}, errs: &bytes.Buffer{}}).root())
}

// noOutput are the verbs whose output is no JSON: a running system, and scripts for shells.
var noOutput = []string{"up", "completion bash", "completion fish", "completion powershell", "completion zsh"}

// Every verb declares what it prints with --json, and docs/cli.md lists all of it.
func TestVerbsAreDocumented(t *testing.T) {
	const page = "../../docs/cli.md"
	const begin, end = "<!-- verbs: go generate ./internal/cli -->\n", "<!-- /verbs -->"
	declared := map[string]bool{}
	var b strings.Builder
	verbs(func(verb string, cmd *cobra.Command) {
		declared[verb] = true
		if cmd.Short == "" {
			t.Errorf("%s has no sentence that says what it does", verb)
		}
		if len(outputs[verb]) == 0 && !slices.Contains(noOutput, verb) {
			t.Errorf("%s does not say what it prints with --json: see outputs", verb)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n`%s`\n", verb, strings.TrimSuffix(cmd.Short, "."), strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		var rows strings.Builder
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			if f.Usage == "" {
				t.Errorf("%s: --%s is not described", verb, f.Name)
			}
			value, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(&rows, "| `--%s` | %s |\n", strings.TrimSpace(f.Name+" "+value), strings.ReplaceAll(usage, "|", `\|`))
		})
		if rows.Len() > 0 {
			b.WriteString("\n| flag | |\n|---|---|\n" + rows.String())
		}
		for _, value := range outputs[verb] {
			fmt.Fprintf(&b, "\n`--json`: %s\n", shape(reflect.TypeOf(value)))
		}
	})
	for verb := range outputs {
		if !declared[verb] {
			t.Errorf("outputs has %s, which is no verb", verb)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	_, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no place for the verbs", page)
	}
	want := before + begin + b.String() + "\n" + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { // #nosec G306 -- a file of the repository
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Error("docs/cli.md is not what the verbs are: run go generate ./internal/cli")
	}
}

// shape describes a value of --json in words.
func shape(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Slice:
		return "a list of objects: " + strings.Join(members(t.Elem()), ", ")
	case t.Kind() == reflect.Map:
		return "an object: a number by what was done"
	}
	return "an object: " + strings.Join(members(t), ", ")
}

// members are the names of the members of an object, in order.
func members(t reflect.Type) (all []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-":
		case f.Anonymous && tag == "":
			all = append(all, members(f.Type)...)
		case tag != "":
			all = append(all, "`"+tag+"`")
		case f.IsExported():
			all = append(all, "`"+f.Name+"`")
		}
	}
	return all
}

// A verb and a flag with a letter too few, too many or two that changed places are answered with
// the right one, wherever they are.
func TestEveryWrongVerbAndFlagIsSuggested(t *testing.T) {
	run := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		env := &environment{in: strings.NewReader(""), out: &out, errs: &errs}
		if status := env.run(context.Background(), args); status != exitUsage || out.Len() > 0 {
			t.Errorf("%v: status %d, %s", args, status, out.String())
		}
		return errs.String()
	}
	wrong := func(name string) []string {
		short, long := name[:len(name)-1], name[:1]+"x"+name[1:]
		swapped := name[:len(name)-2] + name[len(name)-1:] + name[len(name)-2:len(name)-1]
		return []string{short, long, swapped}
	}
	n := 0
	verbs(func(verb string, cmd *cobra.Command) {
		path := strings.Fields(verb)
		at := path[:len(path)-1]
		siblings := verbsOf(cmd.Parent())
		is := func(name string) bool {
			return slices.ContainsFunc(siblings, func(c *cobra.Command) bool { return c.Name() == name })
		}
		for _, given := range wrong(cmd.Name()) {
			if is(given) || cmd.Parent().HasParent() && cmd.Parent().Annotations[onlyVerbs] == "" { // it may be a file
				continue
			}
			n++
			if errs := run(append(slices.Clone(at), given)...); !strings.Contains(errs, "did you mean `"+cmd.Parent().CommandPath()) {
				t.Errorf("postern %s %s: %s", strings.Join(at, " "), given, errs)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			for _, given := range wrong(f.Name) {
				if cmd.Flags().Lookup(given) != nil || cmd.InheritedFlags().Lookup(given) != nil {
					continue
				}
				n++
				if errs := run(append(slices.Clone(path), "--"+given)...); !strings.Contains(errs, "did you mean --") {
					t.Errorf("postern %s --%s: %s", verb, given, errs)
				}
			}
		})
	})
	if n < 300 {
		t.Errorf("only %d were tried", n)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"staf", "list"}, "did you mean `postern staff`?"},
		{[]string{"quux"}, "its verbs are"},
		{[]string{"staff", "lsit"}, "did you mean `postern staff list`?"},
		{[]string{"help", "stff"}, "did you mean `postern staff`?"},
		{[]string{"help", "staff", "creat"}, "did you mean `postern staff create`?"},
		{[]string{"completion", "bahs"}, "did you mean `postern completion bash`?"},
		{[]string{"staff", "list", "--jsn"}, "did you mean --json?"},
		{[]string{"verify", "--databse-url", "x"}, "did you mean --database-url?"},
		{[]string{"verify", "--quuxquux"}, "lists its flags"},
		{[]string{"verify", "-z"}, "has no flag"},
	} {
		if errs := run(c.args...); !strings.Contains(errs, c.says) {
			t.Errorf("%v: %s", c.args, errs)
		}
	}
}

// With --json a failed verb says why in JSON too, on standard error.
func TestFailuresInJSON(t *testing.T) {
	p := newPostern(t)
	status, out, errs := p.run("", "staff", "lsit", "--json")
	var said failureJSON
	if err := json.Unmarshal([]byte(errs), &said); err != nil || said.Status != status || status != exitUsage || !strings.Contains(said.Error, "staff list") || out != "" {
		t.Errorf("status %d, %q, %q: %v", status, out, errs, err)
	}
	if status, _, errs = p.run("", "staff", "list", "--json"); json.Unmarshal([]byte(errs), &said) != nil || said.Status != status || status != exitFailed {
		t.Errorf("status %d, %q", status, errs)
	}
}

// The columns of a table stand below one another also with letters that a terminal shows in two
// columns, and with marks that it shows in none.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	w := newTable(&out)
	_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n%s\t%s\t%s\n%s\t%s\t%s\n", "a", "Ada", "x", "b", "山田 花子", "y", "c", "Zoe\u0308", "z")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const want = "a  Ada        x\nb  山田 花子  y\nc  Zoe\u0308        z\n"
	if out.String() != want {
		t.Errorf("it is\n%s\nwant\n%s", out.String(), want)
	}
}

// In a log, progress is a line every ten seconds, and none in a short verb.
func TestProgressInALog(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	b := (&environment{errs: &out}).progress("verifying")
	b.now, b.logged = func() time.Time { return now }, now
	for i := range uint64(5) {
		b.to(i*25, 100)
		now = now.Add(5 * time.Second)
	}
	b.finish()
	if want := "verifying: 50 of 100 (50%)\nverifying: 100 of 100 (100%)\n"; out.String() != want {
		t.Errorf("it logs %q, want %q", out.String(), want)
	}
}

// bash, with the script of `postern completion bash`, completes verbs, flags and values. It runs
// this test's program as postern.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, errs bytes.Buffer
		if status := (&environment{out: &out, errs: &errs}).run(context.Background(), []string{"completion", shell}); status != exitDone || !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: status %d: %s", shell, status, errs.String())
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no bash to try the completion with")
		}
		t.Skip("there is no bash to try the completion with")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := "#!/bin/sh\nPOSTERN_COMPLETES=1 exec " + self + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "postern"), []byte(program), 0o700); err != nil { // #nosec G306 -- it is a program
		t.Fatal(err)
	}
	// What the package bash-completion provides, in short.
	const script = `
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
source <(postern completion bash)
COMP_WORDS=(%s) COMP_CWORD=$((${#COMP_WORDS[@]}-1)) COMP_LINE="${COMP_WORDS[*]}" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
__start_postern
printf '%%s\n' "${COMPREPLY[@]}"
`
	for line, want := range map[string]string{
		"postern sta":                                "staff",
		"postern staff in":                           "invite",
		"postern staff list --js":                    "--json",
		"postern record export --format nd":          "ndjson",
		"postern token create --permit send_bulk":    "send_bulk_portal_message",
		"postern staff permit ada@clinic.test read_": "read_record",
	} {
		cmd := exec.Command(bash, "--norc", "-c", fmt.Sprintf(script, line)) // #nosec G204 -- of the table above
		cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil || !slices.Contains(strings.Fields(string(out)), want) {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
}

// `postern man` writes a page for each verb, whose macros exist.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	p := newPostern(t)
	status, out, errs := p.run("", "man", dir, "--json")
	if status != exitDone {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	known := regexp.MustCompile(`^\.(TH|SH|TP|B|BR|nf|fi|nh|ad)( |$)`)
	verbs(func(verb string, cmd *cobra.Command) {
		text, err := os.ReadFile(filepath.Join(dir, "postern-"+strings.ReplaceAll(verb, " ", "-")+".1")) // #nosec G304 -- in the test's own folder
		if err != nil {
			t.Fatal(err)
		}
		for _, wanted := range []string{".SH NAME\n", ".SH SYNOPSIS\n", ".SH EXIT STATUS\n", roff(cmd.Short)} {
			if !strings.Contains(string(text), wanted) {
				t.Errorf("the page of %s has no %q", verb, wanted)
			}
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, ".") && !known.MatchString(strings.TrimSpace(line)) {
				t.Errorf("the page of %s has the line %q", verb, line)
			}
		}
	})
}
