package events

import (
	"strings"

	"github.com/google/uuid"
)

// Runs of invitations: e-mails to many portal users, each with a link to set a first password.
// Each link is a link.issued.
const (
	TypeInvitationsStarted   Type = "invitations.started"
	TypeInvitationsCancelled Type = "invitations.cancelled"
	TypeInvitationsFinished  Type = "invitations.finished"
)

var invitationTypes = []Descriptor{{
	Type: TypeInvitationsStarted, Version: 1, Label: "Invitations started",
	When:       "a run of invitations begins, before its first e-mail",
	Publishers: []string{API}, Rows: []string{"invitation_runs"},
	summary: summary(InvitationsStarted.summary),
}, {
	Type: TypeInvitationsCancelled, Version: 1, Label: "Invitations cancelled",
	When:       "a run of invitations is cancelled",
	Publishers: []string{API}, Rows: []string{"invitation_runs"},
	summary: summary(func(b InvitationsCancelled, s speaker) string {
		return s.Text("cancelled the invitations {run}", "run", b.Run.String())
	}),
}, {
	Type: TypeInvitationsFinished, Version: 1, Label: "Invitations finished",
	When:       "everyone in a run of invitations had their turn",
	Publishers: []string{API}, Rows: []string{"invitation_runs"},
	summary: summary(InvitationsFinished.summary),
}}

// InvitationsStarted says that a run of invitations began. Everyone says that it is for all portal
// users without an account, not for some by name.
type InvitationsStarted struct {
	Run      uuid.UUID `json:"run"`
	People   int       `json:"people"`
	Everyone bool      `json:"everyone"`
}

func (InvitationsStarted) EventType() Type    { return TypeInvitationsStarted }
func (b InvitationsStarted) Key() []string    { return []string{b.Run.String()} }
func (InvitationsStarted) Message() uuid.UUID { return uuid.Nil }

func (b InvitationsStarted) summary(s speaker) string {
	if b.Everyone {
		return s.Text("started the invitations {run} of {people} without an account", "run", b.Run.String(), "people", s.people(b.People))
	}
	return s.Text("started the invitations {run} of {people}", "run", b.Run.String(), "people", s.people(b.People))
}

// InvitationsCancelled says that a run of invitations was cancelled. Links that were sent work.
type InvitationsCancelled struct {
	Run uuid.UUID `json:"run"`
}

func (InvitationsCancelled) EventType() Type    { return TypeInvitationsCancelled }
func (b InvitationsCancelled) Key() []string    { return []string{b.Run.String()} }
func (InvitationsCancelled) Message() uuid.UUID { return uuid.Nil }

// InvitationsFinished says how a run of invitations ended. Skipped counts the people who got no
// invitation, by reason. Unknown counts those of whom a crash or a lost answer left it unknown.
type InvitationsFinished struct {
	Run     uuid.UUID      `json:"run"`
	Sent    int            `json:"sent"`
	Failed  int            `json:"failed"`
	Unknown int            `json:"unknown"`
	Skipped map[string]int `json:"skipped"`
}

func (InvitationsFinished) EventType() Type    { return TypeInvitationsFinished }
func (b InvitationsFinished) Key() []string    { return []string{b.Run.String()} }
func (InvitationsFinished) Message() uuid.UUID { return uuid.Nil }

// SkippedInAll is the number of people who got no invitation.
func (b InvitationsFinished) SkippedInAll() (n int) {
	for _, one := range b.Skipped {
		n += one
	}
	return n
}

func (b InvitationsFinished) summary(s speaker) string {
	counts := []string{s.Count(b.Sent, "{n} sent", "{n} sent")}
	if n := b.SkippedInAll(); n > 0 {
		counts = append(counts, s.alerts(n, AlertSkipped))
	}
	if b.Failed > 0 {
		counts = append(counts, s.alerts(b.Failed, AlertFailed))
	}
	if b.Unknown > 0 {
		counts = append(counts, s.alerts(b.Unknown, AlertUnknown))
	}
	return s.Text("finished the invitations {run}: {counts}", "run", b.Run.String(), "counts", strings.Join(counts, ", "))
}
