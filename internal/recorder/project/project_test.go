package project

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Each sequence of events leads to the state that docs/states.md draws.
func TestTheRecordOfAMessage(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	m := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	skip := events.AlertException{PortalUserID: "pu-2", PortalUserNo: 2, State: events.AlertSkipped, Reason: "no e-mail address"}
	for _, c := range []struct {
		name  string
		story []events.Body
		want  recordertest.MessageState
	}{
		{"held", []events.Body{recordertest.SentTo(m, events.HoldUndo, "all_portal_users")}, recordertest.MessageState{Status: "scheduled"}},
		{"released", []events.Body{recordertest.SentTo(m, events.HoldUndo), events.MessageReleased{MessageID: m}}, recordertest.MessageState{Status: "sending"}},
		{"undone", []events.Body{recordertest.SentTo(m, events.HoldUndo), events.MessageCancelled{MessageID: m, StaffID: "s1"}}, recordertest.MessageState{Status: "cancelled"}},
		{"undone too late", []events.Body{recordertest.SentTo(m, events.HoldUndo), events.MessageReleased{MessageID: m}, events.MessageCancelled{MessageID: m, StaffID: "s1"}}, recordertest.MessageState{Status: "sending"}},
		{"released too late", []events.Body{recordertest.SentTo(m, events.HoldUndo), events.MessageCancelled{MessageID: m, StaffID: "s1"}, events.MessageReleased{MessageID: m}}, recordertest.MessageState{Status: "cancelled"}},
		{"delivered and alerted", []events.Body{recordertest.SentTo(m, events.HoldNone), events.AudienceResolved{MessageID: m, Count: 3, Chunks: 1, ManifestDigest: recordertest.NoDigest},
			recordertest.Chunk(m, 0, 1, 2, 3), events.FanoutCompleted{MessageID: m, Deliveries: 3, Chunks: 1}, recordertest.OutcomeOf(m, 0, 3, events.AlertAccepted, skip)},
			recordertest.MessageState{Status: "sent", Delivered: 3, Accepted: 2, Skipped: 1}},
		{"the answer came late", []events.Body{recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2, 3), recordertest.OutcomeOf(m, 0, 3, events.AlertUnknown, skip), recordertest.OutcomeOf(m, 0, 3, events.AlertAccepted, skip)},
			recordertest.MessageState{Status: "sending", Delivered: 3, Accepted: 2, Skipped: 1}},
		{"unknown does not undo accepted", []events.Body{recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2, 3), recordertest.OutcomeOf(m, 0, 3, events.AlertAccepted), recordertest.OutcomeOf(m, 0, 3, events.AlertUnknown)},
			recordertest.MessageState{Status: "sending", Delivered: 3, Accepted: 3}},
		{"opened and recalled", []events.Body{recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2), events.DeliveryOpened{MessageID: m, PortalUserID: "pu-2", PortalUserNo: 2},
			events.MessageRecalled{MessageID: m, StaffID: "s1", Reason: "wrong document", Opened: 1}, events.FanoutCompleted{MessageID: m, Deliveries: 2, Chunks: 1}},
			recordertest.MessageState{Status: "recalled", Delivered: 2, Opened: 1}},
		{"an empty audience", []events.Body{recordertest.SentTo(m, events.HoldNone), events.AudienceResolved{MessageID: m, ManifestDigest: recordertest.NoDigest}, events.FanoutCompleted{MessageID: m}},
			recordertest.MessageState{Status: "sent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(t.Context()) }()
			project(t, tx, recordertest.Facts(t, c.story...))
			if diff := cmp.Diff(c.want, recordertest.StateOf(t, tx, m)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The tables depend only on the events, and not on where one run ends and the next begins.
func TestRunsMakeNoDifference(t *testing.T) {
	m1, m2 := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001"), uuid.MustParse("0197aaaa-0000-7000-8000-000000000002")
	failed := events.AlertException{PortalUserID: "pu-5", PortalUserNo: 5, State: events.AlertFailed, Reason: "no such domain"}
	evs := recordertest.Facts(t,
		events.StaffCreated{StaffID: "s1", Name: "Ada"}, events.PermissionChanged{Granted: true, Change: m1, StaffID: "s1", Permission: "read_record"},
		recordertest.SentTo(m1, events.HoldNone, "all_portal_users"), recordertest.SentTo(m2, events.HoldUndo),
		events.AudienceResolved{MessageID: m1, Count: 5, Chunks: 2, ManifestDigest: recordertest.NoDigest},
		recordertest.Chunk(m1, 0, 1, 2, 3), events.DeliveryOpened{MessageID: m1, PortalUserID: "pu-5", PortalUserNo: 5}, recordertest.Chunk(m1, 1, 5, 9), recordertest.OutcomeOf(m1, 0, 3, events.AlertUnknown), recordertest.OutcomeOf(m1, 1, 2, events.AlertUnknown, failed),
		events.FanoutCompleted{MessageID: m1, Deliveries: 5, Chunks: 2, Notice: true}, events.MessageCancelled{MessageID: m2, StaffID: "s1"},
		recordertest.OutcomeOf(m1, 1, 2, events.AlertAccepted, failed), recordertest.OutcomeOf(m1, 0, 3, events.AlertAccepted),
		events.DeliveryOpened{MessageID: m1, PortalUserID: "pu-9", PortalUserNo: 9},
		events.MessageReleased{MessageID: m2}, events.LabelChanged{Change: m1, Label: "patient", One: "Client", Many: "Clients"},
		events.ClinicChanged{Change: m1, Name: "Lakeside", Logo: &events.ClinicLogo{MediaType: "image/png", Data: []byte{1}}}, events.ClinicChanged{Change: m2, Name: "Lakeside Practice", Colour: "#0a5c66"},
		recordertest.ReportedBy(m1, 1, recordertest.Said(2, "delivered", 5), recordertest.Said(3, "bounce", 6, "bounce", "no such mailbox")), recordertest.ReportedBy(m1, 1, recordertest.Said(2, "spamreport", 9)),
		events.PermissionChanged{Change: m2, StaffID: "s1", Permission: "read_record"},
		events.SecondFactor{What: events.FactorAdded, Change: m1, StaffID: "s1"}, events.SecondFactor{What: events.FactorReset, Change: m2, StaffID: "s1"},
		events.SecondFactor{What: events.FactorAdded, Change: m2, StaffID: "s1"},
		events.IdentityLinked{Identity: m1, StaffID: "s1", Issuer: "https://login.clinic.example"}, events.IdentityUnlinked{Identity: m1, StaffID: "s1"},
		events.IdentityLinked{Identity: m2, StaffID: "s1", Issuer: "https://login.clinic.example"}, events.IdentityLinked{Identity: m1, StaffID: "s1", Issuer: "https://other.example"},
		events.SecondFactor{What: events.FactorAdded, Change: m1, Account: "portal_user", ID: "pu-9", Kind: events.FactorApp}, events.RecoveryCodesMade{Set: m1, Account: "portal_user", ID: "pu-9"},
		events.SecondFactor{What: events.FactorAdded, Change: m2, Account: "portal_user", ID: "pu-9", Kind: events.FactorPasskey}, events.RecoveryCodesMade{Set: m2, Account: "portal_user", ID: "pu-9"},
		events.SecondFactor{What: events.FactorRemoved, Change: m2, Account: "portal_user", ID: "pu-9", Kind: events.FactorApp, Factor: &m1},
		events.TokenCreated{Token: m1, StaffID: "s1", Name: "report", Scope: events.ScopeListed, Permissions: []string{"read_record"}, ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		events.TokenCreated{Token: m2, StaffID: "s1", Name: "all", Scope: events.ScopeOwner, ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		events.TokenRevoked{Token: m1, StaffID: "s1", Why: events.RevokedByOwner},
		events.StaffChanged{Change: m1, StaffID: "s1", Name: "Ada Brook", NameChanged: true},
		events.StaffEnabledChanged{Disabled: true, Change: m1, StaffID: "s1"}, events.StaffEnabledChanged{Change: m2, StaffID: "s1"}, events.StaffEnabledChanged{Disabled: true, Change: m2, StaffID: "s1"},
		events.AttachmentDownloaded{MessageID: m1, PortalUserID: "pu-9", PortalUserNo: 9, AttachmentID: m2, Request: m1},
		events.MessageRecalled{MessageID: m1, StaffID: "s1", Reason: "r", Opened: 1},
	)
	evs = append(evs, evs[5], evs[14]) // repeats
	oneByOne := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	project(t, oneByOne, evs)
	want := recordertest.Digests(t, oneByOne)
	pool := storetest.Pool(t, store.RoleAdmin)
	conn := recordertest.Connect(t, pool)
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := conn.Exec(t.Context(), `TRUNCATE events, hashes, account_events, messages, notices, message_bcc, chunks, chunk_events, inbox, alert_exceptions, reports, dead_addresses, opens,
			downloads, staff, staff_permissions, tokens, labels, clinic; UPDATE position SET seq = 0`); err != nil {
			t.Fatal(err)
		}
		project(t, conn, evs, rapid.SliceOf(rapid.IntRange(1, len(evs))).Draw(rt, "runs")...)
		if diff := cmp.Diff(want, recordertest.Digests(t, conn)); diff != "" {
			rt.Errorf("(-one by one +in runs):\n%s", diff)
		}
	})
}

// A poisoned event is kept, hashed and parked with a reason, and the events around it are
// projected.
func TestAPoisonEventBlocksNoOther(t *testing.T) {
	m, other := uuid.New(), uuid.New()
	good := recordertest.Facts(t, recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2), events.FanoutCompleted{MessageID: m, Deliveries: 2, Chunks: 1})
	spoiled := func(change func(*events.Event)) events.Event {
		e := recordertest.Facts(t, recordertest.Chunk(m, 1, 7, 8))[0]
		e.ID = uuid.New()
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		poison events.Event
		parked bool
	}{
		"no event at all":          {spoiled(func(e *events.Event) { e.Type = "" }), true},
		"a type of the future":     {spoiled(func(e *events.Event) { e.Type = "message.sung" }), true},
		"a version of the future":  {spoiled(func(e *events.Event) { e.Version = 2 }), true},
		"a body that is cut":       {spoiled(func(e *events.Event) { e.Data = e.Data[:20] }), true},
		"a chunk of no message":    {spoiled(func(e *events.Event) { *e = recordertest.Facts(t, recordertest.Chunk(other, 0, 1))[0] }), true},
		"a key that exists":        {spoiled(func(e *events.Event) { *e = recordertest.Facts(t, recordertest.Chunk(m, 1, 2))[0] }), true},
		"an outcome of no chunk":   {recordertest.Facts(t, recordertest.OutcomeOf(m, 9, 2, events.AlertAccepted))[0], true},
		"an outcome of too many":   {recordertest.Facts(t, recordertest.OutcomeOf(m, 0, 7, events.AlertAccepted))[0], true},
		"a release that is late":   {recordertest.Facts(t, events.MessageReleased{MessageID: m})[0], false},
		"opened by more than have": {recordertest.Facts(t, events.DeliveryOpened{MessageID: other, PortalUserID: "x", PortalUserNo: 1})[0], true},
	} {
		t.Run(name, func(t *testing.T) {
			conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
			project(t, conn, []events.Event{good[0], good[1], c.poison, good[2]}, 4)
			if got := recordertest.StateOf(t, conn, m); got.Status != "sent" || got.Delivered != 2 {
				t.Errorf("the message is %+v", got)
			}
			var kept, parked int
			if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM events WHERE NOT projected AND seq = 3),
				(SELECT count(*) FROM app.parked WHERE seq = 3 AND reason <> '')`).Scan(&kept, &parked); err != nil {
				t.Fatal(err)
			}
			if kept != 1 || (parked == 1) != c.parked {
				t.Errorf("kept %d, parked %d", kept, parked)
			}
		})
	}
}

// Whatever events are published, at least one enabled staff member may manage staff. If two
// act at once, the order of the record decides.
func TestAnEnabledAdministratorRemains(t *testing.T) {
	m := uuid.New()
	hired := []events.Body{
		events.StaffCreated{StaffID: "ada", Name: "Ada"}, events.PermissionChanged{Granted: true, Change: m, StaffID: "ada", Permission: "manage_staff"},
		events.StaffCreated{StaffID: "ben", Name: "Ben"}, events.PermissionChanged{Granted: true, Change: m, StaffID: "ben", Permission: "manage_staff"},
	}
	disable := func(id string) events.Body { return events.StaffEnabledChanged{Disabled: true, Change: m, StaffID: id} }
	enable := func(id string) events.Body { return events.StaffEnabledChanged{Change: m, StaffID: id} }
	revoke := func(id string) events.Body {
		return events.PermissionChanged{Change: m, StaffID: id, Permission: "manage_staff"}
	}
	for name, c := range map[string]struct {
		story []events.Body
		want  []string
	}{
		"one is disabled":                    {[]events.Body{disable("ada")}, []string{"ben"}},
		"each disables the other":            {[]events.Body{disable("ada"), disable("ben")}, []string{"ben"}},
		"one is disabled, the other revoked": {[]events.Body{disable("ada"), revoke("ben")}, []string{"ben"}},
		"one is revoked, the other disabled": {[]events.Body{revoke("ada"), disable("ben")}, []string{"ben"}},
		"a disabled one is revoked":          {[]events.Body{disable("ada"), revoke("ada"), enable("ada")}, []string{"ben"}},
		"disabled and enabled":               {[]events.Body{disable("ada"), enable("ada"), disable("ben")}, []string{"ada"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
			project(t, conn, recordertest.Facts(t, append(slices.Clone(hired), c.story...)...))
			rows, err := conn.Query(t.Context(), `SELECT staff_id FROM record.staff JOIN record.staff_permissions USING (staff_id)
				WHERE disabled_at IS NULL ORDER BY staff_id`)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("staff who manage staff (-want +got):\n%s%v", diff, err)
			}
		})
	}
}

// Of two recorders that both act as the leader, only one can write: the other finds that
// the position has moved.
func TestARecorderThatWasOvertakenWritesNothing(t *testing.T) {
	conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
	m := uuid.New()
	evs := recordertest.Facts(t, recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1))
	project(t, conn, evs[:1])
	p, err := Prepare(merkle.Stored{Seq: 1, Subject: evs[1].Subject(), Header: evs[1].Header(), Data: evs[1].Data})
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), conn, 0, []*Prepared{p}); err == nil {
		t.Error("it wrote although the position had moved")
	}
}

// A token works from its event until its revocation. One that is created while the account of its
// owner is disabled, or before the account exists, never works; so disabling an account leaves none
// that would work once it is enabled.
func TestTokensOfTheRecord(t *testing.T) {
	token := uuid.MustParse("0197aaaa-0000-7000-8000-000000000001")
	made := func(scope events.TokenScope, permissions ...string) events.Body {
		return events.TokenCreated{Token: token, StaffID: "ada", Name: "report", Scope: scope, Permissions: permissions, ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	}
	revoke := func(why events.TokenRevoke) events.Body {
		return events.TokenRevoked{Token: token, StaffID: "ada", Why: why}
	}
	ada := events.StaffCreated{StaffID: "ada", Name: "Ada"}
	off, on := events.StaffEnabledChanged{Disabled: true, Change: uuid.New(), StaffID: "ada"}, events.StaffEnabledChanged{Change: uuid.New(), StaffID: "ada"}
	for name, c := range map[string]struct {
		story []events.Body
		want  []string // scope, and why it was revoked
	}{
		"made":                           {[]events.Body{ada, made(events.ScopeOwner)}, []string{"owner "}},
		"made of listed permissions":     {[]events.Body{ada, made(events.ScopeListed, "read_record")}, []string{"listed "}},
		"a list that is empty":           {[]events.Body{ada, made(events.ScopeListed)}, nil},
		"a list that the scope excludes": {[]events.Body{ada, made(events.ScopeOwner, "read_record")}, nil},
		"revoked":                        {[]events.Body{ada, made(events.ScopeOwner), revoke(events.RevokedByOwner)}, []string{"owner revoked"}},
		"revoked twice":                  {[]events.Body{ada, made(events.ScopeOwner), revoke(events.RevokedByAdministrator), revoke(events.RevokedByOwner)}, []string{"owner by_administrator"}},
		"revoked before it was made":     {[]events.Body{ada, revoke(events.RevokedByOwner)}, nil},
		"made of no account":             {[]events.Body{made(events.ScopeOwner), ada}, nil},
		"made while disabled":            {[]events.Body{ada, off, made(events.ScopeOwner), on}, nil},
		"made before disabled":           {[]events.Body{ada, made(events.ScopeOwner), off, on}, []string{"owner "}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := recordertest.Connect(t, storetest.Pool(t, store.RoleRecorder))
			project(t, conn, recordertest.Facts(t, c.story...))
			rows, err := conn.Query(t.Context(), `SELECT scope || ' ' || coalesce(revoked_why, '') FROM record.tokens`)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pgx.AppendRows([]string(nil), rows, pgx.RowTo[string])
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("tokens (-want +got):\n%s%v", diff, err)
			}
		})
	}
}
