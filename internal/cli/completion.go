package cli

import (
	"github.com/spf13/cobra"

	"postern/internal/access/policy"
)

// completeFlags names the values that a shell completes for flags, wherever a verb has the flag.
var completeFlags = map[string][]string{
	"permit": permissionNames(),
	"format": {"csv", "ndjson", "fhir"},
	"state":  {"failed", "unknown"},
}

// addCompletion adds the completion of values to a command and all verbs below it.
func addCompletion(cmd *cobra.Command) {
	for flag, values := range completeFlags {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails only for unknown flags
		}
	}
	for _, verb := range cmd.Commands() {
		addCompletion(verb)
	}
}

// completePermissions completes the arguments of a verb that takes a staff member and permissions.
func completePermissions(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return permissionNames(), cobra.ShellCompDirectiveNoFileComp
}

func permissionNames() (all []string) {
	for _, p := range policy.All {
		all = append(all, string(p))
	}
	return all
}
