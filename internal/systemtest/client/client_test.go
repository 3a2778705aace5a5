package client_test

import (
	"bytes"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/client"
	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/giveup"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// A program sends a message with a document and waits until it is sent. The portal user gets an
// alert, signs in, and reads both. The sender sees that, and so does the record.
func TestSendAndWait(t *testing.T) {
	ctx := t.Context()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Sender", policy.SendPortalMessage, policy.ReadRecord)
	reader := s.NewPortalUser(t, "ingrid")
	_, token, err := s.Web.Gate.CreateToken(ctx, "operator:test", sam.ID, access.NewToken{Name: "of the test"})
	if err != nil {
		t.Fatal(err)
	}
	staff, err := client.Connect(s.Base, token)
	if err != nil {
		t.Fatal(err)
	}
	document := []byte("%PDF-1.4\n%%EOF\n")
	uploaded, err := staff.UploadAttachmentWithBodyWithResponse(ctx, "multipart/form-data; boundary=part", form(t, "part", "plan.pdf", document))
	if err != nil || uploaded.JSON201 == nil {
		t.Fatal(err, client.Failure(uploaded))
	}
	message := client.NewMessage{Subject: "Your care plan", Body: "Please read it.", UndoSeconds: new(int64),
		Recipients: client.Recipients{PortalUserIds: &[]string{reader.ID}}, AttachmentIds: &[]string{uploaded.JSON201.Id.String()}}
	params := &client.SendMessageParams{IdempotencyKey: "first"}
	var id uuid.UUID
	for range 2 { // the second request is the same message
		sent, err := staff.SendMessageWithResponse(ctx, params, message)
		if err != nil || sent.JSON202 == nil {
			t.Fatal(err, client.Failure(sent))
		}
		if id != uuid.Nil && id != sent.JSON202.Id {
			t.Errorf("the same key sent %s and %s", id, sent.JSON202.Id)
		}
		id = sent.JSON202.Id
	}
	whole, err := client.WaitUntilSent(ctx, staff, id)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Status != client.MessageInFullStatusSent || whole.Progress.Delivered != 1 || whole.Progress.Recipients != 1 {
		t.Errorf("the message is %+v", whole)
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	portal, err := client.Connect(s.Base, "", client.WithHTTPClient(&http.Client{Jar: jar}))
	if err != nil {
		t.Fatal(err)
	}
	me, err := portal.SignInPortalWithResponse(ctx, client.SignInInputBody{Email: reader.ID + "@example.org", Password: webtest.Password})
	if err != nil || me.JSON200 == nil {
		t.Fatal(err, client.Failure(me))
	}
	opened, err := portal.OpenMessageWithResponse(ctx, id)
	if err != nil || opened.JSON200 == nil {
		t.Fatal(err, client.Failure(opened))
	}
	if opened.JSON200.Body != message.Body || len(opened.JSON200.Attachments) != 1 {
		t.Errorf("the portal user reads %+v", opened.JSON200)
	}
	file, err := portal.DownloadAttachmentWithResponse(ctx, id, uploaded.JSON201.Id)
	if err != nil || !bytes.Equal(file.Body, document) {
		t.Errorf("the document is %q: %v", file.Body, err)
	}

	yes := client.ListDeliveriesParamsOpenedTrue
	for after := time.After(giveup.After); ; {
		deliveries, err := staff.ListDeliveriesWithResponse(ctx, id, &client.ListDeliveriesParams{Opened: &yes})
		if err != nil || deliveries.JSON200 == nil {
			t.Fatal(err, client.Failure(deliveries))
		}
		if items := deliveries.JSON200.Items; len(items) == 1 && items[0].Alert.State == client.AlertStateAccepted {
			break
		}
		select {
		case <-after:
			t.Fatalf("the delivery is not opened, or its alert not accepted: %s", deliveries.Body)
		default:
		}
	}
	// The recorder is behind the answers to the portal user by a moment.
	want := []string{"message.sent", "delivery.opened", "attachment.downloaded"}
	for after := time.After(giveup.After); ; {
		listed, err := staff.ListRecordWithResponse(ctx, &client.ListRecordParams{MessageId: &id})
		if err != nil || listed.JSON200 == nil {
			t.Fatal(err, client.Failure(listed))
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(kind string) bool {
			return slices.ContainsFunc(listed.JSON200.Items, func(e client.RecordEvent) bool { return e.Type == kind })
		})
		if len(missing) == 0 {
			return
		}
		select {
		case <-after:
			t.Fatalf("the record has no %s: %s", missing, listed.Body)
		default:
		}
	}
}

// An answer with an error is a *client.Problem, with its faults.
func TestFailure(t *testing.T) {
	s := webtest.New(t)
	stranger, err := client.Connect(s.Base, "no-token")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stranger.ListMessagesWithResponse(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var problem *client.Problem
	if failure := client.Failure(answer); !errors.As(failure, &problem) || problem.Type != "/problems/unauthenticated" || problem.Status != http.StatusUnauthorized {
		t.Errorf("the answer failed with %v", failure)
	}
	if _, err := client.WaitUntilSent(t.Context(), stranger, uuid.New()); !errors.As(err, &problem) {
		t.Errorf("waiting failed with %v", err)
	}
	if _, err := client.Connect("http://[", ""); !errors.As(err, new(*url.Error)) {
		t.Errorf("a wrong address failed with %v", err)
	}
}

func form(t *testing.T, boundary, name string, data []byte) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	part, err := w.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &b
}
