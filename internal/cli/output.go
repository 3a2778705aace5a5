package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"postern/internal/content/rotation"
	"postern/internal/eventlog/parked"
	"postern/internal/notify/pause"
	"postern/internal/proof/verify"
	"postern/internal/recorder/damage"
	"postern/internal/recorder/rebuild"
)

// outputs are the values that each verb prints with --json, by the verb. A verb that may print one
// of several has several. docs/cli.md lists their fields; tests compare what verbs print with it.
var outputs = map[string][]any{
	"alerting pause":              {alertingJSON{}},
	"alerting resume":             {alertingJSON{}},
	"alerting status":             {alertingJSON{}},
	"emergency list":              {[]emergencyJSON{}},
	"erasure list":                {[]erasureJSON{}},
	"erasure request":             {erasureJSON{}},
	"erasure withdraw":            {erasureJSON{}},
	"health":                      {checkedHealth{}, readyJSON{}},
	"import csv":                  {importedJSON{}},
	"import fhir":                 {importedJSON{}},
	"keys certificates":           {madeJSON{}},
	"keys checkpoint":             {verifiersJSON{}},
	"keys create":                 {fileJSON{}},
	"keys rotate":                 {verifiersJSON{}},
	"keys rotate content":         {rotation.Report{}},
	"man":                         {manJSON{}},
	"keys verifier":               {verifiersJSON{}},
	"migrate":                     {migratedJSON{}},
	"parked discard":              {settledJSON{}},
	"parked list":                 {[]parked.Event{}},
	"parked retry":                {settledJSON{}},
	"parked show":                 {parkedEventJSON{}},
	"person":                      {personJSON{}},
	"portal-user confirm-address": {confirmedJSON{}},
	"portal-user invite":          {invitationJSON{}, invitationRunJSON{}},
	"portal-user letter":          {letterJSON{}},
	"portal-user list":            {[]portalUserJSON{}},
	"portal-user set-password":    {passwordSetJSON{}},
	"rebuild":                     {rebuiltJSON{}, comparedJSON{}},
	"receipt bundle":              {bundleJSON{}},
	"receipt issue":               {receiptFileJSON{}},
	"receipt verify":              {verifiedJSON{}},
	"record disclosures":          {accountingJSON{}, accountingFileJSON{}},
	"record export":               {manifestJSON{}},
	"record tail":                 {entryJSON{}},
	"recover":                     {recoveredJSON{}},
	"repair":                      {damage.Report{}, damage.Repaired{}},
	"replay cancel":               {replayJSON{}},
	"replay pause":                {replayJSON{}},
	"replay plan":                 {replayJSON{}},
	"replay resume":               {replayJSON{}},
	"replay start":                {replayJSON{}},
	"replay status":               {replayJSON{}},
	"staff approve":               {grantJSON{}},
	"staff change":                {staffJSON{}},
	"staff create":                {staffJSON{}},
	"staff disable":               {staffJSON{}},
	"staff enable":                {staffJSON{}},
	"staff forbid":                {staffJSON{}},
	"staff grants":                {[]grantJSON{}},
	"staff invite":                {linkJSON{}},
	"staff list":                  {[]staffJSON{}},
	"staff permit":                {staffJSON{}},
	"staff reject":                {grantJSON{}},
	"staff reset":                 {linkJSON{}},
	"staff reset-second-factor":   {staffJSON{}},
	"staff unlink":                {staffJSON{}},
	"token create":                {madeTokenJSON{}},
	"token list":                  {[]tokenJSON{}},
	"token revoke":                {tokenJSON{}},
	"verify":                      {verify.Report{}},
	"why":                         {whyJSON{}},
}

// The values of --json of verbs that answer in a few words.
type (
	alertingJSON struct {
		Paused bool          `json:"paused"`
		Pauses []pause.Pause `json:"pauses"`
	}
	madeJSON struct {
		Made bool `json:"made"`
	}
	readyJSON struct {
		Status string `json:"status"`
	}
	migratedJSON struct {
		Migrated bool `json:"migrated"`
	}
	fileJSON struct {
		File string `json:"file"`
	}
	// settledJSON is the number of parked events by what was done with them: retrying or discarded.
	settledJSON    map[string]int
	invitationJSON struct {
		Token string `json:"token"`
	}
	letterJSON struct {
		UserName  string    `json:"user_name"`
		Code      string    `json:"code"`
		ExpiresAt time.Time `json:"expires_at"`
		First     bool      `json:"first"`
	}
	invitationRunJSON struct {
		ID     uuid.UUID `json:"id"`
		People int       `json:"people"`
	}
	confirmedJSON struct {
		PortalUserID string `json:"portal_user_id"`
	}
	passwordSetJSON struct {
		PortalUserID string `json:"portal_user_id"`
		Sharing      int    `json:"sharing_address"`
	}
	receiptFileJSON struct {
		File   string `json:"file"`
		Notice string `json:"notice"`
	}
	bundleJSON struct {
		File   string `json:"file"`
		Digest string `json:"digest"`
		Seq    uint64 `json:"seq"`
	}
	accountingJSON struct {
		PatientID   string          `json:"patient_id"`
		From        string          `json:"from"`
		To          string          `json:"to"`
		Disclosures []accountedJSON `json:"disclosures"`
	}
	accountingFileJSON struct {
		File string `json:"file"`
		Rows int    `json:"rows"`
	}
	rebuiltJSON struct {
		Position uint64 `json:"position"`
	}
	comparedJSON struct {
		Same   bool               `json:"same"`
		Tables []rebuild.Compared `json:"tables"`
	}
	changesJSON struct {
		Added     int `json:"added"`
		Changed   int `json:"changed"`
		Unchanged int `json:"unchanged"`
	}
	importedJSON struct {
		Readdressed  int           `json:"account_addresses_changed"`
		DryRun       bool          `json:"dry_run"`
		Links        changesJSON   `json:"links"`
		Patients     changesJSON   `json:"patients"`
		PortalUsers  changesJSON   `json:"portal_users"`
		Resources    changesJSON   `json:"resources"`
		WarningCount int           `json:"warning_count"`
		Warnings     []warningJSON `json:"warnings"`
	}
	parkedEventJSON struct {
		parked.Event
		Subject string              `json:"subject"`
		Header  map[string][]string `json:"headers"`
		Body    string              `json:"body"`
	}
)

// failureJSON is what a failed verb prints on standard error with --json.
type failureJSON struct {
	Error  string `json:"error"`
	Status int    `json:"status"` // the exit status
}

// checkOutput, in tests, checks a value that a verb prints with --json.
var checkOutput func(verb string, value any)

// say prints value in JSON with --json, and otherwise text.
func (env *environment) say(value any, text string, args ...any) error {
	if env.json {
		if checkOutput != nil {
			checkOutput(env.verb, value)
		}
		return json.NewEncoder(env.out).Encode(value)
	}
	_, err := fmt.Fprintf(env.out, text+"\n", args...)
	return err
}

// sayFailure prints why a verb failed on standard error, in JSON with --json. hint is added to the
// text for people.
func (env *environment) sayFailure(err error, status int, hint string) int {
	if env.json {
		e := json.NewEncoder(env.errs)
		e.SetEscapeHTML(false)
		_ = e.Encode(failureJSON{err.Error(), status}) // nowhere else to say it
		return status
	}
	_, _ = fmt.Fprintf(env.errs, "postern: %v\n%s", err, hint)
	return status
}
