package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wrongVerb is the error of a verb that a command does not have, with the nearest that it has.
func wrongVerb(cmd *cobra.Command, given string) error {
	var verbs []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			verbs = append(verbs, c.Name())
		}
	}
	hint := "its verbs are " + strings.Join(verbs, ", ")
	if near := nearest(given, verbs); near != "" {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near)
	}
	return usageError{fmt.Errorf("%s has no verb %q: %s", cmd.CommandPath(), given, hint)}
}

// wrongFlag is the error of a flag that a verb does not have, with the nearest that it has.
func wrongFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{err}
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
	given := unknown.GetSpecifiedName()
	if near := nearest(given, flags); near != "" {
		return usageError{fmt.Errorf("%s has no flag --%s: did you mean --%s?", cmd.CommandPath(), given, near)}
	}
	return usageError{fmt.Errorf("%s has no flag --%s: `%s --help` lists its flags", cmd.CommandPath(), given, cmd.CommandPath())}
}

// nearest returns the name with the smallest edit distance to what was given, or "" if all are
// too far: more than every third letter differs, and more than two.
func nearest(given string, names []string) (found string) {
	least := max(2, len(given)/3) + 1
	for _, name := range names {
		d := distance(strings.ToLower(given), name)
		if given != "" && strings.HasPrefix(name, strings.ToLower(given)) {
			d = min(d, 1)
		}
		if d < least {
			least, found = d, name
		}
	}
	return found
}

// distance returns the number of letters to insert, remove, replace or swap with their neighbour
// to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
