package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/wording"
	"postern/internal/inbound"
)

// WordingOperations are saved wordings.
type WordingOperations struct {
	Wordings *wording.Wordings
}

// WordingText is what a saved wording says, and whose it is.
type WordingText struct {
	Name      string `json:"name" doc:"By which it is found. 1 to {WordingName}."`
	Subject   string `json:"subject" doc:"0 to {Subject}."`
	Body      string `json:"body" doc:"1 to {Body}. {recipient's name}, {clinic's name} and {clinic's telephone} are filled in for each reader of a message."`
	Published bool   `json:"published" doc:"It is the clinic's: all staff who send can use it. Needs publish_wordings."`
}

// SavedWording is a saved wording: the caller's own, or the clinic's.
type SavedWording struct {
	ID      uuid.UUID `json:"id" format:"uuid"`
	Version int       `json:"version" doc:"Counts its changes, from 1. A change and a deletion name the version that they replace."`
	Mine    bool      `json:"mine" doc:"I wrote it."`
	SavedAt time.Time `json:"saved_at"`
	WordingText
}

func savedWording(w wording.Wording) SavedWording {
	return SavedWording{w.ID, w.Version, w.Mine, w.SavedAt, WordingText{w.Name, w.Subject, w.Body, w.Published}}
}

// WordingPath names a wording.
type WordingPath struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The id of a wording."`
}

// WordingVersion names a wording and the version of it that is replaced.
type WordingVersion struct {
	WordingPath
	Version int `query:"version" required:"true" minimum:"1" doc:"The version that is replaced."`
}

type newWording struct{ Body WordingText }

type changedWording struct {
	WordingVersion
	Body WordingText
}

func (g WordingOperations) register(a *API) {
	const path, one = "/v1/wordings", "/v1/wordings/{id}"
	sends := []policy.Action{policy.SendMessage}
	takes := inbound.Body{Types: []string{inbound.JSON}, MaxBytes: 1 << 20}
	handle(a, operation{
		method: http.MethodGet, path: path, id: "list-wordings", tag: forStaff,
		summary: "My saved wordings and the clinic's, by name.", actions: sends,
	}, func(ctx context.Context, _ *struct{}) (*body[List[SavedWording]], error) {
		all, err := g.Wordings.List(ctx, subjectOf(ctx))
		if err != nil {
			return nil, err
		}
		list := List[SavedWording]{Items: make([]SavedWording, len(all))}
		for i, w := range all {
			list.Items[i] = savedWording(w)
		}
		return answerWith(list), nil
	})
	handle(a, operation{
		method: http.MethodPost, path: path, id: "add-wording", tag: forStaff, status: http.StatusCreated, takes: takes,
		summary: "Save a wording.", actions: sends, problems: []int{http.StatusConflict, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *newWording) (*body[SavedWording], error) {
		return g.saved(in.Body, func(text wording.Text) (wording.Wording, error) {
			return g.Wordings.Add(ctx, subjectOf(ctx), text, in.Body.Published)
		})
	})
	handle(a, operation{
		method: http.MethodPut, path: one, id: "change-wording", tag: forStaff, takes: takes,
		summary: "Replace a wording.", actions: sends, problems: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *changedWording) (*body[SavedWording], error) {
		return g.saved(in.Body, func(text wording.Text) (wording.Wording, error) {
			return g.Wordings.Change(ctx, subjectOf(ctx), in.ID, in.Version, text, in.Body.Published)
		})
	})
	handle(a, operation{
		method: http.MethodDelete, path: one, id: "delete-wording", tag: forStaff,
		summary: "Delete a wording.", actions: sends, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *WordingVersion) (*struct{}, error) {
		return nil, g.Wordings.Delete(ctx, subjectOf(ctx), in.ID, in.Version)
	})
}

func (g WordingOperations) saved(in WordingText, save func(wording.Text) (wording.Wording, error)) (*body[SavedWording], error) {
	text := wording.Text{Name: in.Name, Subject: in.Subject, Body: in.Body}
	if err := invalidBody(text.Faults()); err != nil {
		return nil, err
	}
	w, err := save(text)
	if err != nil {
		return nil, err
	}
	return answerWith(savedWording(w)), nil
}
