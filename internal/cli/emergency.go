package cli

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"postern/internal/eventlog/facts"
	"postern/internal/record/emergency"
)

// emergencyCommand lists emergency access. Only signed-in staff open and review it, because the
// record must say which person did.
func (env *environment) emergencyCommand() *cobra.Command {
	return group("emergency", "Emergency access to content and disclosures", env.emergencyList())
}

// emergencyJSON is emergency access as --json prints it.
type emergencyJSON struct {
	ID         uuid.UUID       `json:"id"`
	State      emergency.State `json:"state"`
	StaffID    string          `json:"staff_id"`
	MessageID  *uuid.UUID      `json:"message_id"`
	PatientID  *string         `json:"patient_id"`
	Reason     string          `json:"reason"`
	OpenedAt   time.Time       `json:"opened_at"`
	Until      time.Time       `json:"until"`
	Reads      int             `json:"reads"`
	ReviewedBy *string         `json:"reviewed_by"`
	ReviewedAt *time.Time      `json:"reviewed_at"`
	Note       *string         `json:"note"`
}

func (env *environment) emergencyList() *cobra.Command {
	var limit int
	var unreviewed bool
	c := &cobra.Command{Use: "list", Short: "List emergency access, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.with(cmd.Context(), func(s *system) error {
				e := emergency.New(emergency.Config{Pool: s.pool, Facts: facts.Publisher{Source: "/postern"}})
				found, err := e.List(cmd.Context(), "", 0, limit)
				if unreviewed {
					found, err = e.Unreviewed(cmd.Context())
				}
				if err != nil {
					return err
				}
				out := make([]emergencyJSON, len(found))
				for i, o := range found {
					out[i] = emergencyJSON{o.ID, o.State, o.StaffID, o.MessageID, o.PatientID, o.Reason, o.OpenedAt, o.Until, o.Reads, o.ReviewedBy, o.ReviewedAt, o.Note}
				}
				if env.json {
					return env.say(out, "")
				}
				w := newTable(env.out)
				for _, o := range out {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\tstaff:%s\t%s\n", o.OpenedAt.UTC().Format(time.DateTime), o.State, o.ID, o.StaffID, o.Reason)
				}
				return w.Flush()
			})
		}}
	c.Flags().IntVar(&limit, "limit", 100, "the most to list")
	c.Flags().BoolVar(&unreviewed, "unreviewed", false, "list those that no one has reviewed yet, those that are open first")
	return c
}
