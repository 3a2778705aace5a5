package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern/internal/web/webtest"
)

// notAList says why a page has no operation of the API that gives a list of the same.
type notAList string

// inTheAPI names the operation that gives the same list as a page, with the filters of the page.
type inTheAPI struct {
	operation string
	filters   []string // its query parameters
}

const (
	oneThing = notAList("it shows one thing")
	form     = notAList("it is a form or a question")
	aPart    = notAList("it is a part of a page, a file, or a redirect")
	signIn   = notAList("people without an account, or before they are signed in, see it")
)

func listOf(operation string, filters ...string) inTheAPI {
	return inTheAPI{operation, append(filters, "limit", "cursor")}
}

// listsOfPages says for every page whether it is a list, and which operation gives that list.
var listsOfPages = map[string]any{
	"GET /messages":                         listOf("GET /v1/messages", "q", "status", "from", "to", "mine"),
	"GET /messages/bcc":                     listOf("GET /v1/bcc", "q", "from", "to"),
	"GET /messages/{id}":                    oneThing,
	"GET /messages/{id}/{part}":             listOf("GET /v1/messages/{id}/deliveries", "q", "alert", "opened"), // recipients
	"GET /messages/drafts":                  listOf("GET /v1/drafts"),
	"GET /messages/wordings":                inTheAPI{operation: "GET /v1/wordings"},
	"GET /messages/wordings/new":            form,
	"GET /messages/wordings/{id}":           oneThing,
	"GET /messages/compose":                 form,
	"GET /messages/drafts/{id}":             form,
	"GET /messages/drafts/{id}/check":       inTheAPI{operation: "POST /v1/recipients/preview"},
	"GET /messages/drafts/{id}/recipients":  inTheAPI{operation: "POST /v1/recipients/preview"},
	"GET /messages/drafts/{id}/letters":     notAList("it is to print; the same people are in /v1/worklists/no-email"),
	"GET /messages/drafts/{id}/letters.csv": aPart,
	"GET /messages/drafts/{id}/delete":      form,
	"GET /messages/groups/{group}/count":    aPart,
	"GET /notices":                          listOf("GET /v1/notices", "unread"),
	"GET /worklists/unread":                 listOf("GET /v1/worklists/unread", "days"),
	"GET /worklists/no-email":               listOf("GET /v1/worklists/no-email"),
	"GET /search":                           inTheAPI{"GET /v1/search", []string{"q"}},

	"GET /operations":                       inTheAPI{operation: "GET /v1/operations"},
	"GET /operations/messages":              inTheAPI{"GET /v1/operations/messages", []string{"from", "to"}},
	"GET /operations/parked":                listOf("GET /v1/parked", "all", "type", "consumer"),
	"GET /operations/parked/{id}":           oneThing,
	"GET /operations/replays":               listOf("GET /v1/replays"),
	"GET /operations/replays/new":           form,
	"GET /operations/replays/{id}":          oneThing,
	"GET /operations/replays/{id}/progress": aPart,

	"GET /record":                                           listOf("GET /v1/record", "message_id", "portal_user_id", "patient_id", "type", "actor", "from", "to", "order"),
	"GET /record/state":                                     aPart,
	"GET /record/{seq}":                                     oneThing,
	"GET /record/messages/{id}":                             listOf("GET /v1/record", "message_id"),
	"GET /record/messages/{id}/why":                         form,
	"GET /record/portal-users/{id}":                         listOf("GET /v1/portal-users/{id}/deliveries", "show", "from", "to"),
	"GET /record/portal-users/{id}/disclosures":             listOf("GET /v1/record", "portal_user_id", "type"),
	"GET /record/patients/{id}/disclosures":                 inTheAPI{"GET /v1/patients/{id}/disclosures", []string{"from", "to"}},
	"GET /record/receipts/{message}/{portal_user}/disclose": form,
	"GET /record/patients/{id}":                             listOf("GET /v1/record", "patient_id", "type"),
	"GET /record/receipts/{message}/{portal_user}":          inTheAPI{operation: "GET /v1/messages/{id}/deliveries/{portal_user_id}/receipt"},
	"GET /record/erasures":                                  listOf("GET /v1/erasures"),
	"GET /record/erasures/new":                              form,
	"GET /record/erasures/{id}":                             oneThing,
	"GET /emergency":                                        listOf("GET /v1/emergency"),
	"GET /emergency/{id}":                                   oneThing,
	"GET /emergency/{id}/read":                              inTheAPI{operation: "GET /v1/emergency/{id}/disclosures"},
	"GET /emergency/{id}/documents/{document}":              aPart,

	"GET /administration/staff":             listOf("GET /v1/staff", "q"),
	"GET /administration/staff/new":         form,
	"GET /administration/staff/{id}":        listOf("GET /v1/staff/{id}/tokens"),
	"GET /administration/staff/{id}/change": form,
	"GET /administration/grants":            listOf("GET /v1/grants"),
	"GET /administration/clinic":            inTheAPI{operation: "GET /v1/clinic"},
	"GET /clinic/logo":                      aPart, "GET /clinic/style.css": aPart,
	"GET /administration/labels":       inTheAPI{operation: "GET /v1/labels"},
	"GET /directory/portal-users":      listOf("GET /v1/portal-users", "q"),
	"GET /directory/portal-users/{id}": oneThing,
	"GET /directory/patients":          listOf("GET /v1/patients", "q"),
	"GET /directory/patients/{id}":     oneThing,
	"GET /directory/invitations":       listOf("GET /v1/invitations"),
	"GET /directory/invitations/new":   form,
	"GET /directory/invitations/{id}":  oneThing,
	"GET /directory/import":            notAList("a staff member has one import at a time; programs import at the command line"),
	"GET /directory/import/{id}":       oneThing,

	"GET /account":                       oneThing,
	"GET /account/tokens":                listOf("GET /v1/tokens"),
	"GET /account/sessions":              listOf("GET /v1/sessions"),
	"GET /account/password":              form,
	"GET /account/unlink":                form,
	"GET /account/second-factor":         form,
	"GET /account/second-factor/passkey": aPart, "GET /account/second-factor/recovery": form, "GET /account/second-factor/{id}/remove": form,

	"GET /portal":                       listOf("GET /v1/portal/messages", "q", "unread", "patient"),
	"GET /portal/messages/{id}":         oneThing,
	"GET /portal/messages/{id}/receipt": inTheAPI{operation: "GET /v1/portal/messages/{id}/receipt"},
	"GET /portal/help":                  oneThing,
	"GET /portal/frame":                 aPart, "GET /portal/messages/{id}/documents/{document}/pdf": aPart,
	"GET /portal/account":               oneThing,
	"GET /portal/account/sessions":      listOf("GET /v1/portal/sessions"),
	"GET /portal/account/second-factor": form, "GET /portal/account/second-factor/passkey": aPart,
	"GET /portal/account/second-factor/recovery": form, "GET /portal/account/second-factor/{id}/remove": form,
	"GET /portal/messages/{id}/documents/{document}": oneThing, "GET /portal/messages/{id}/documents/{document}/show": oneThing,
	"GET /portal/messages/{id}/documents/{document}/picture": aPart, "GET /portal/messages/{id}/documents/{document}/download": aPart,

	"GET /{$}": aPart, "GET /sign-in": signIn, "GET /sign-in/code": signIn, "GET /sign-in/link": signIn,
	"GET /sign-in/organisation": signIn, "GET /sign-in/organisation/back": signIn,
	"GET /portal/sign-in": signIn, "GET /portal/sign-in/code": signIn, "GET /portal/forgotten": signIn, "GET /portal/letter": signIn, "GET /portal/forgotten/sent": signIn,
	"GET /portal/invitation": signIn, "GET /forgotten": signIn, "GET /forgotten/sent": signIn, "GET /stop/{token}": signIn,
}

// Every list that a page shows is in the API, with the same filters. A new page without a row fails.
func TestEveryListIsInTheAPI(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	res, err := http.Get(s.Base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, route := range s.Web.Pages.Routes() {
		if !strings.HasPrefix(route.Pattern, http.MethodGet+" ") {
			continue
		}
		known[route.Pattern] = true
		switch row := listsOfPages[route.Pattern].(type) {
		case notAList:
		case inTheAPI:
			method, path, _ := strings.Cut(row.operation, " ")
			op, ok := described.Paths[path][strings.ToLower(method)]
			if !ok {
				t.Errorf("%s: the API has no %s", route.Pattern, row.operation)
			}
			for _, filter := range row.filters {
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.In == "query" && p.Name == filter }) {
					t.Errorf("%s: %s has no parameter %s", route.Pattern, row.operation, filter)
				}
			}
		default:
			t.Errorf("%s has no row in listsOfPages: name the operation of the API that gives the same list, or say why it is none", route.Pattern)
		}
	}
	for pattern := range listsOfPages {
		if !known[pattern] {
			t.Errorf("the table names %s, which is not a route", pattern)
		}
	}
}
