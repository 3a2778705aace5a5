package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access"
	"postern/internal/events"
)

// Label is how the clinic names one of something, and several.
type Label struct {
	One  string `json:"one" doc:"1 to 40 characters."`
	Many string `json:"many" doc:"1 to 40 characters."`
}

// Labels are the names that a clinic can choose (Custom Labels). In a change,
// those left out stay as they are.
type Labels struct {
	Patient                  *Label `json:"patient,omitempty"`
	PortalUser               *Label `json:"portal_user,omitempty"`
	AuthorizedRepresentative *Label `json:"authorized_representative,omitempty"`
	Discharged               *Label `json:"discharged,omitempty"`
}

const maxLabel = 40 // characters

// each calls f for every label by its key, in a fixed order.
func (l *Labels) each(f func(key string, label **Label)) {
	f("patient", &l.Patient)
	f("portal_user", &l.PortalUser)
	f("authorized_representative", &l.AuthorizedRepresentative)
	f("discharged", &l.Discharged)
}

func defaultLabels() Labels {
	return Labels{
		Patient:                  &Label{"Patient", "Patients"},
		PortalUser:               &Label{"Portal User", "Portal Users"},
		AuthorizedRepresentative: &Label{"Authorized Representative", "Authorized Representatives"},
		Discharged:               &Label{"Discharged", "Discharged"},
	}
}

type labelsInput struct{ Body Labels }

func (a *API) labels() {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/labels", id: "get-labels", tag: forStaff,
		summary: "How this clinic names things.", actions: []access.Action{access.SeeLabels},
	}, func(ctx context.Context, _ *struct{}) (*body[Labels], error) {
		labels, err := a.currentLabels(ctx)
		return answerWith(labels), err
	})
	handle(a, operation{
		method: http.MethodPut, path: "/v1/labels", id: "change-labels", tag: forStaff,
		summary: "Rename things. The change is on the record when this answers.", actions: []access.Action{access.ChangeLabels},
		problems: []int{http.StatusUnprocessableEntity},
	}, a.changeLabels)
}

// currentLabels are the defaults and, over them, what the record says.
func (a *API) currentLabels(ctx context.Context) (Labels, error) {
	rows, err := a.cfg.Pool.Query(ctx, `SELECT label, one, many FROM record.labels`)
	if err != nil {
		return Labels{}, fmt.Errorf("reading the labels: %w", err)
	}
	chosen := map[string]Label{}
	var key string
	var l Label
	_, err = pgx.ForEachRow(rows, []any{&key, &l.One, &l.Many}, func() error {
		chosen[key] = l
		return nil
	})
	if err != nil {
		return Labels{}, fmt.Errorf("reading the labels: %w", err)
	}
	labels := defaultLabels()
	labels.each(func(key string, label **Label) {
		if l, ok := chosen[key]; ok {
			*label = &l
		}
	})
	return labels, nil
}

func (a *API) changeLabels(ctx context.Context, in *labelsInput) (*body[Labels], error) {
	if faults := in.Body.faults(); len(faults) > 0 {
		return nil, invalidRequest.problem(faults[0].Location+" "+faults[0].Message, faults...)
	}
	labels, err := a.currentLabels(ctx)
	if err != nil {
		return nil, err
	}
	wanted := map[string]*Label{}
	in.Body.each(func(key string, label **Label) { wanted[key] = *label })
	change := uuid.New()
	var batch []events.Event
	labels.each(func(key string, label **Label) {
		want := wanted[key]
		if err != nil || want == nil || *want == **label {
			return
		}
		*label = want
		var e events.Event
		e, err = events.New(a.cfg.Source, subjectOf(ctx).Actor(), a.cfg.Now(),
			events.LabelChanged{Change: change, Label: key, One: want.One, Many: want.Many})
		batch = append(batch, e)
	})
	if err != nil || len(batch) == 0 {
		return answerWith(labels), err
	}
	// All or none: a crash here leaves the labels as they were, or as asked for.
	seq, err := a.cfg.Publish(ctx, batch...)
	if err != nil {
		return nil, err
	}
	a.awaitRecorder(ctx, seq)
	return answerWith(labels), nil
}

// faults says what is wrong with the labels that are given.
func (l *Labels) faults() []Fault {
	var found []Fault
	l.each(func(key string, label **Label) {
		if *label == nil {
			return
		}
		for name, text := range map[string]string{"one": (*label).One, "many": (*label).Many} {
			hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
			if n := utf8.RuneCountInString(text); n > maxLabel || strings.TrimSpace(text) == "" || strings.ContainsFunc(text, hidden) {
				found = append(found, Fault{"body." + key + "." + name, fmt.Sprintf("must have 1 to %d visible characters", maxLabel)})
			}
		}
	})
	return found
}
