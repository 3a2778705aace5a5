package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (env *environment) manCommand() *cobra.Command {
	return &cobra.Command{Use: "man DIR", Short: "Write the man pages of all verbs into a folder", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := writeManPages(cmd.Root(), args[0])
			if err != nil {
				return err
			}
			return env.say(manJSON{args[0], n}, "wrote %d man pages into %s: `man -l %s` shows the first", n, args[0], filepath.Join(args[0], "postern.1"))
		}}
}

// manJSON is what was written, in --json.
type manJSON struct {
	Dir   string `json:"dir"`
	Pages int    `json:"pages"`
}

// writeManPages writes a page for the command and for each verb below it, and returns their number.
func writeManPages(cmd *cobra.Command, dir string) (n int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- pages for everyone
		return 0, fmt.Errorf("making the folder of the man pages: %w", err)
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(manPage(cmd)), 0o644); err != nil { // #nosec G306 -- a page for everyone
		return 0, fmt.Errorf("writing a man page: %w", err)
	}
	n = 1
	for _, verb := range verbsOf(cmd) {
		more, err := writeManPages(verb, dir)
		if err != nil {
			return 0, err
		}
		n += more
	}
	return n, nil
}

// verbsOf returns the verbs below a command that its help lists, without help itself.
func verbsOf(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			all = append(all, c)
		}
	}
	return all
}

// manPage is the man page of a command, in roff.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %q 1 \"\" Postern \"Postern Manual\"\n.nh\n.ad l\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name), roff(name), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	if cmd.Long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(cmd.Long))
	}
	manFlags(&b, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(&b, "OPTIONS OF ALL VERBS", cmd.InheritedFlags())
	if verbs := verbsOf(cmd); len(verbs) > 0 {
		b.WriteString(".SH VERBS\n")
		for _, v := range verbs {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(strings.ReplaceAll(v.CommandPath(), " ", "-")), roff(v.Short))
		}
	}
	b.WriteString(".SH EXIT STATUS\n0: done. 1: the verb failed, or a check found a fault. 2: wrong use.\n")
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(strings.ReplaceAll(cmd.Parent().CommandPath(), " ", "-")))
	}
	return b.String()
}

func manFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(b, ".TP\n.B \\-\\-%s\n%s\n", roff(strings.TrimSpace(f.Name+" "+value)), roff(usage))
	})
}

// roff escapes a text for a man page.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
