package cli

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/record/query"
)

// whyJSON is the answer of `postern why --json`.
type whyJSON struct {
	In       bool     `json:"in"`
	Reason   string   `json:"reason"`
	Patients []string `json:"patients"`
	Day      string   `json:"day"`
}

func (env *environment) whyCommand() *cobra.Command {
	return &cobra.Command{Use: "why MESSAGE PORTAL_USER", Short: "Say why a portal user got a message, or did not", Args: cobra.ExactArgs(2),
		Long: "Says why the portal user is in the audience of the message, or is not, as the directory was when the\n" +
			"audience was frozen. It reads the roster that the audience cites; later imports change nothing.\n" +
			"Reading it is recorded.",
		RunE: func(cmd *cobra.Command, args []string) error {
			message, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the id of a message", args[0])}
			}
			return env.with(cmd.Context(), func(s *system) error {
				w, err := s.recordReader().Why(cmd.Context(), query.Actor(operator()), message, args[1])
				if err != nil {
					return err
				}
				said := whyJSON{In: w.In, Reason: string(w.Reason), Patients: append([]string{}, w.Patients...), Day: w.Day.Format(time.DateOnly)}
				return env.say(said, "portal user %s is %s", args[1], w)
			})
		}}
}
