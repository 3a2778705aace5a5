package api

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// field describes a field of a request or an answer that has no tags of its own: because the
// same field is in many answers, or because its type belongs to another package.
type field struct {
	doc     string // what it means; the tag `doc` of a field comes first
	example any    // one good value; nil: of its enum, or of its format
	null    bool   // it may be null, which huma does not see in a pointer to an id
}

// The ids and the time of all examples.
const (
	exampleID         = "01995d3c-6b0e-7c3a-9f51-2d4b8e6a7c10"
	exampleOtherID    = "01995d3c-6b0f-7d21-8a44-91c5e0b7f362"
	exampleTime       = "2026-03-02T09:30:00Z"
	exampleDigest     = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	exampleCheckpoint = "postern.example/record\n4711\nqpMl1o3kFQ0VZJp5Jt8nXg6rFJq3f5cGm2qk7y0vT1c=\n\n— postern.example/record zWn2Q1xK\n"
)

// fields describes fields by name, as "message_id", or by schema and name, as "Alert.reason",
// which comes first.
var fields = map[string]field{
	// Who and what.
	"id":              {doc: "Its id.", example: exampleID},
	"message_id":      {doc: "The id of the message.", example: exampleID},
	"portal_user_id":  {doc: "The id of the portal user, from the system that the directory is imported from.", example: "denis-schmitt"},
	"patient_id":      {doc: "The id of the patient, from the system that the directory is imported from.", example: "amina-diallo"},
	"staff_id":        {doc: "The id of the staff member.", example: exampleOtherID},
	"sender_id":       {doc: "The id of the staff member who sent it.", example: exampleOtherID},
	"attachment_id":   {doc: "The id of the document.", example: exampleOtherID},
	"token_id":        {doc: "The id of the API token.", example: exampleOtherID},
	"event_id":        {example: exampleID},
	"seq":             {doc: "The sequence of the event in the record.", example: 4711},
	"repeats":         {example: 4699},
	"leaf":            {example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	"name":            {doc: "The name.", example: "Denis Schmitt"},
	"email":           {doc: "The e-mail address.", example: "denis.schmitt@example.test"},
	"active":          {doc: "Whether the account is active. Only active portal users get messages.", example: true},
	"deceased":        {doc: "Whether the patient has died."},
	"sender":          {example: "Maria Lindqvist"},
	"from":            {doc: "The name of the staff member who sent it.", example: "Maria Lindqvist"},
	"actor":           {doc: "The actor: staff:ID, portal_user:ID, process:NAME or operator:NAME.", example: "staff:" + exampleOtherID},
	"by":              {doc: "The actor who did it.", example: "staff:" + exampleOtherID},
	"requested_by":    {example: "staff:" + exampleOtherID},
	"settled_by":      {example: "staff:" + exampleID},
	"paused_by":       {doc: "The actor who paused the alerts.", example: "operator:ops"},
	"planned_by":      {doc: "The actor who planned it.", example: "staff:" + exampleOtherID},
	"started_by":      {doc: "The actor who started it; null: it is not started.", example: "staff:" + exampleOtherID},
	"ended_by":        {doc: "The actor who ended it; null: it has not ended.", example: "staff:" + exampleOtherID},
	"reviewed_by":     {doc: "The actor who reviewed it; null: no one has.", example: "staff:" + exampleID},
	"agent":           {example: "Firefox on Linux"},
	"network":         {example: "192.0.2.0/24"},
	"permission":      {doc: "The name of the permission.", example: "send_bulk_portal_message"},
	"permissions":     {doc: "The names of the permissions.", example: []any{"send_portal_message", "send_bulk_portal_message"}},
	"second_factors":  {example: []any{"totp"}},
	"password":        {doc: "The password.", example: "paper-boat-harbour"},
	"current":         {example: "paper-boat-harbour"},
	"new":             {example: "copper-lantern-meadow"},
	"totp":            {example: "492039"},
	"token":           {example: "pst_Zk3vJ1x9Q7bYw2RcT8nLh5sD"},
	"portal_user_ids": {example: []any{"denis-schmitt", "ingrid-berg"}},
	"groups":          {doc: "The groups that the sender chose: active_patients, discharged_patients, all_portal_users.", example: []any{"active_patients"}},
	"about":           {example: []any{"clara-schmitt"}},
	"about_basis":     {example: "picked"},
	"patient_ids":     {example: []any{"clara-schmitt"}},
	"staff_bcc":       {example: []any{exampleOtherID}},
	"attachment_ids":  {example: []any{exampleID}},

	"Idempotency-Key": {example: "care-plans-2026-03-02"},

	// When.
	"at":           {doc: "When it happened."},
	"time":         {doc: "When it happened."},
	"sent_at":      {doc: "When it was sent, or is to be sent."},
	"release_at":   {doc: "When the message goes out. Until then it can be cancelled."},
	"delivered_at": {doc: "Since when it is in the inbox."},
	"readable_at":  {doc: "Since when the portal user can read it: delivered_at, or when they first set a password if they had no e-mail address then; null: not yet."},
	"opened_at":    {doc: "When the recipient first opened it; null: not yet."},
	"recalled_at":  {doc: "When it was recalled; null: it was not."},
	"requested_at": {doc: "When it was requested."},
	"settled_at":   {doc: "When it was approved or withdrawn; null: it is open."},
	"planned_at":   {doc: "When it was planned."},
	"started_at":   {doc: "When it was started; null: not yet."},
	"ended_at":     {doc: "When it ended; null: it has not ended."},
	"reviewed_at":  {doc: "When it was reviewed; null: not yet."},
	"paused_at":    {doc: "When the alerts were paused; null: they are not."},
	"parked_at":    {doc: "When the event was parked."},
	"until":        {doc: "When it ends."},
	"oldest":       {doc: "The time of the oldest event that is not done."},
	"to":           {doc: "Before this time."},

	// Text.
	"subject":       {doc: "The subject of the message.", example: "Your care plan"},
	"body":          {doc: "The text of the message.", example: "Please read it before your next visit."},
	"reason":        {doc: "The reason that was given.", example: "The wrong document was attached."},
	"note":          {example: "The reading was needed for an emergency admission."},
	"recall_reason": {doc: "The reason of the recall.", example: "The wrong document was attached."},
	"summary":       {example: "Denis Schmitt opened the message"},
	"type":          {doc: "The type of the event. The table in docs/record.md lists all.", example: "delivery.opened"},
	"title":         {doc: "The title for people.", example: "Custom Labels"},
	"detail":        {example: "body.subject is required and can't be blank"},
	"location":      {doc: "Where in the request it is: body.subject, query.limit, path.id, header.Content-Type."},
	"message":       {doc: "What is wrong there."},
	"href":          {doc: "The address of the page.", example: "/administration/labels"},
	"media_type":    {doc: "The media type.", example: "application/pdf"},
	"sha256":        {example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	"digest":        {example: exampleDigest},
	"cursor":        {example: "AZldPGsOfDqfUS1LjmpsEA"},
	"next_cursor":   {example: "AZldPGsOfDqfUS1LjmpsEA"},
	"items":         {doc: "The items of this page, in the order of the list."},
	"links":         {doc: "The addresses that belong to it, by name.", example: exampleLinks(exampleID)},
	"headers":       {doc: "The headers of the event in NATS, each with its values.", example: map[string]any{"Nats-Msg-Id": []any{exampleID}}},
	"instance":      {example: "urn:uuid:" + exampleID},
	"one":           {example: "Client"},
	"many":          {example: "Clients"},

	// Numbers.
	"size":           {doc: "The size in bytes.", example: 48213},
	"bytes":          {doc: "The size in bytes.", example: 1048576},
	"count":          {example: 128},
	"attempts":       {doc: "How often the alert was handed to SendGrid.", example: 1},
	"alerts":         {doc: "The number of alerts.", example: 250},
	"chunks":         {doc: "The number of chunks, of up to a thousand alerts each.", example: 1},
	"events":         {doc: "The number of events.", example: 4711},
	"position":       {doc: "The sequence of the last event that the tables show.", example: 4711},
	"rows":           {example: 4711},
	"covers":         {example: 4711},
	"through":        {example: 4711},
	"accepted":       {doc: "The number of alerts that SendGrid accepted.", example: 240},
	"failed":         {doc: "The number of alerts that failed.", example: 4},
	"skipped":        {doc: "The number of alerts that were skipped.", example: 6},
	"unknown":        {doc: "The number of alerts whose result is not known."},
	"undeliverable":  {example: 2},
	"opened":         {doc: "The number of recipients who have opened the message.", example: 97},
	"alert_failed":   {doc: "The number of alerts that failed."},
	"alert_skipped":  {doc: "The number of alerts that were skipped."},
	"alert_unknown":  {doc: "The number of alerts whose result is not known."},
	"delivered":      {example: 128},
	"alerted":        {example: 126},
	"recipients":     {doc: "The recipients.", example: 128},
	"done":           {doc: "The number of alerts that were sent again or left out.", example: 250},
	"total":          {example: 250},
	"sent":           {doc: "The number of e-mails that were sent.", example: 40},
	"people":         {doc: "The number of people whom the run invites.", example: 42},
	"tries":          {doc: "How often a worker tried to handle the event.", example: 5},
	"cancelled":      {doc: "The number of messages that were cancelled.", example: 2},
	"attachments":    {doc: "The documents.", example: 1},
	"undo_seconds":   {example: 10},
	"rate":           {example: 600},
	"status":         {doc: "The status.", example: 422},
	"state":          {doc: "The state."},
	"portal_users":   {example: 2},
	"replicas":       {doc: "The number of replicas of Postgres that are connected.", example: 1},
	"synchronous":    {doc: "Whether a commit waits until a replica has it.", example: true},
	"automatic":      {doc: "Whether Postern paused the alerts by itself, because too many failed."},
	"waiting_alerts": {doc: "The number of alerts that wait because of this pause.", example: 250},
	"waiting_chunks": {doc: "The number of chunks that wait because of this pause, of up to a thousand alerts each.", example: 1},
	"in_flight":      {doc: "Events that a worker is handling.", example: 3},
	"redelivered":    {doc: "Events that were handed out more than once."},
	"pending":        {doc: "Events that no worker has begun to handle."},
	"oldest_seq":     {doc: "The sequence of the oldest event that is not done; 0 for none."},
	"last_error":     {doc: "The last error; empty if there was none.", example: ""},
	"last_error_at":  {doc: "When the last error happened; null if there was none."},
	"consumer":       {doc: "The consumer whose worker could not handle the event.", example: "notify"},
	"filter":         {doc: "The filter."},
	"export":         {doc: "The id of the export.", example: exampleID},
	"format":         {doc: "The format of the file."},
	"checkpoint":     {example: exampleCheckpoint},
	"proof":          {example: exampleCheckpoint},
	"domain":         {example: "example.test"},

	// Of one schema.
	"Alert.reason":               {example: ""},
	"Alert.state":                {doc: "The state of the alert. pending: not yet handed over; unknown: no answer came, and it may have been sent.", example: "accepted"},
	"Alert.at":                   {doc: "When the alert came into this state; null: it is pending."},
	"Delivery.name":              {doc: "The name of the portal user."},
	"Delivery.alert":             {doc: "The e-mail that told the portal user about the message."},
	"Attachment.name":            {example: "care-plan.pdf"},
	"EmergencyAttachment.name":   {doc: "The name of the file.", example: "care-plan.pdf"},
	"Emergency.message_id":       {null: true},
	"EmergencyDetail.message_id": {null: true},
	"Emergency.patient_id":       {doc: "The patient whose disclosures it opens; null: the content of a message."},
	"EmergencyDetail.patient_id": {doc: "The patient whose disclosures it opens; null: the content of a message."},
	"Emergency.opened_at":        {doc: "When it was opened."},
	"EmergencyDetail.opened_at":  {doc: "When it was opened."},
	"Emergency.until":            {doc: "When it ends by itself.", example: "2026-03-02T10:30:00Z"},
	"EmergencyDetail.until":      {doc: "When it ends by itself.", example: "2026-03-02T10:30:00Z"},
	"EmergencyDetail.readings":   {doc: "What was shown by it, in the order of the record."},
	"EmergencyReading.what":      {doc: "What was shown."},
	"EmergencyReading.attachment_id": {doc: "The document that was shown; null: it was not a document.",
		null: true},
	"EmergencyDisclosure.opened_at":    {doc: "When the portal user first opened it; null: not yet."},
	"Erasure.reason":                   {doc: "The reason that the first person gave.", example: "The message went to the wrong person."},
	"Event.event_id":                   {null: true},
	"Event.message_id":                 {doc: "The message that the event is about; null if there is none.", null: true},
	"Event.reason":                     {doc: "The error of the last try.", example: "decoding the event: unexpected end of JSON input"},
	"Event.stack":                      {example: ""},
	"Event.state":                      {doc: "parked: no one has settled it. retrying: a worker tries again. handled: a try succeeded. discarded: it is not handled."},
	"ParkedInFull.event_id":            {null: true},
	"ParkedInFull.message_id":          {doc: "The message that the event is about; null if there is none.", null: true},
	"ParkedInFull.reason":              {doc: "The error of the last try.", example: "decoding the event: unexpected end of JSON input"},
	"ParkedInFull.stack":               {example: ""},
	"ParkedInFull.state":               {doc: "parked: no one has settled it. retrying: a worker tries again. handled: a try succeeded. discarded: it is not handled."},
	"ParkedInFull.subject":             {doc: "The NATS subject that the event was published under.", example: "record.message.sent"},
	"ParkedInFull.body":                {example: `{"subject":`},
	"Found.kind":                       {doc: "What was found."},
	"Found.id":                         {example: ""},
	"Grant.state":                      {example: "requested"},
	"Hold.message_id":                  {doc: "The message whose alerts are paused; null: the alerts of all messages.", null: true},
	"Hold.alerts":                      {doc: "The number of alerts of the replay that this pause delays."},
	"Hold.reason":                      {doc: "Why the alerts were paused.", example: "SendGrid answers with errors"},
	"Pause.message_id":                 {doc: "The message whose alerts are paused; null: the alerts of all messages.", null: true},
	"Pause.reason":                     {doc: "Why the alerts were paused.", example: "SendGrid answers with errors"},
	"Hour.at":                          {doc: "The beginning of the hour."},
	"Minute.at":                        {doc: "The beginning of the minute."},
	"Minute.accepted":                  {doc: "The number of answers that accepted an alert."},
	"Minute.refused":                   {example: 1},
	"Invitations.status":               {doc: "The status of the run.", example: "finished"},
	"Invitations.failed":               {doc: "The number of e-mails that could not be sent."},
	"Invitations.unknown":              {example: 0},
	"Invitations.skipped":              {example: map[string]any{"has_account": 1, "no_address": 1}},
	"Labels.patient":                   {doc: "The clinic's word for patients."},
	"Labels.portal_user":               {doc: "The clinic's word for portal users."},
	"Labels.authorized_representative": {doc: "The clinic's word for authorized representatives."},
	"Labels.discharged":                {doc: "The clinic's word for discharged patients."},
	"LinkedPatient.name":               {doc: "The name of the patient.", example: "Amina Diallo"},
	"LinkedPatient.relationship":       {doc: "self: the portal user is the patient. representative: the portal user represents the patient."},
	"LinkedPatient.status":             {doc: "Whether the patient receives services now.", example: "active"},
	"LinkedPatient.from":               {example: "2026-01-15"},
	"LinkedPatient.until":              {example: ""},
	"Me.id":                            {doc: "The id of the person who is signed in."},
	"Me.name":                          {doc: "The name of the person who is signed in.", example: "Maria Lindqvist"},
	"Message.progress":                 {doc: "How far the delivery is."},
	"MessageInFull.progress":           {doc: "How far the delivery is."},
	"Message.recipients":               {doc: "The recipients as the sender chose them."},
	"MessageInFull.recipients":         {doc: "The recipients as the sender chose them."},
	"Message.status":                   {doc: "scheduled: it can still be cancelled. sending: recipients are getting it. sent: all can read it.", example: "sent"},
	"MessageInFull.status":             {doc: "scheduled: it can still be cancelled. sending: recipients are getting it. sent: all can read it.", example: "sent"},
	"NewMessage.recipients":            {doc: "To whom the message goes."},
	"NewMessage.audience_digest":       {example: exampleDigest},
	"PreviewInputBody.recipients":      {doc: "To whom the message would go."},
	"Preview.included":                 {example: map[string]any{"active_patient": 120, "representative": 8}},
	"Preview.excluded":                 {example: map[string]any{"account_inactive": 3}},
	"Preview.warnings":                 {example: map[string]any{"no_address": 2}},
	"Preview.without_email":            {example: 2},
	"PlanInputBody.filter":             {doc: "Which alerts to repeat."},
	"PlanInputBody.reason":             {example: "The mail server of the domain was down."},
	"Problem.type":                     {example: "/problems/invalid-request"},
	"Problem.status":                   {doc: "The HTTP status of the answer."},
	"Problem.title":                    {doc: "The title of the kind of problem."},
	"Record.detail":                    {example: ""},
	"Record.whole":                     {example: true},
	"RecordEvent.message_id":           {null: true},
	"RecordEventInFull.message_id":     {null: true},
	"RecordEventInFull.subject":        {example: "record.delivery.opened"},
	"RecordEventInFull.body":           {example: map[string]any{"message_id": exampleID, "portal_user_id": "denis-schmitt"}},
	"RecordEventInFull.body_base64":    {example: ""},
	"RecordEventInFull.projected":      {example: true},
	"RecordFilter.actor":               {doc: "Only events that this actor caused."},
	"RecordFilter.message_id":          {doc: "Only events about this message."},
	"RecordFilter.patient_id":          {doc: "Only events about deliveries that concern this patient."},
	"RecordFilter.portal_user_id":      {doc: "Only events about this portal user."},
	"RecordFilter.type":                {doc: "Only events of this type."},
	"RecordFilter.from":                {doc: "Only events at or after this time.", example: exampleTime},
	"RecordFilter.to":                  {doc: "Only events before this time.", example: "2026-03-03T09:30:00Z"},
	"RecordManifest.filter":            {doc: "The filter of the export."},
	"RecordManifest.at":                {doc: "When the export ended."},
	"Replay.status":                    {doc: "The status of the replay.", example: "completed"},
	"Replay.filter":                    {doc: "Which alerts the plan selected."},
	"Replay.reason":                    {doc: "The reason of the replay.", example: "The mail server of the domain was down."},
	"Replay.oldest":                    {example: exampleTime},
	"Replay.by_reason":                 {example: map[string]any{"550 mailbox unavailable": 250}},
	"Replay.excluded":                  {example: map[string]any{"opened": 3}},
	"Replay.left_out_by":               {example: map[string]any{"opened": 1}},
	"Replay.left_out":                  {example: 1},
	"Replay.count":                     {example: 250},
	"Replay.opened":                    {example: 3},
	"Replay.failed":                    {doc: "The number of alerts that failed again."},
	"Replay.accepted":                  {doc: "The number of repeated alerts that SendGrid accepted."},
	"Replay.held_by":                   {example: []any{}},
	"ReplayFilter.reason":              {example: "550 mailbox unavailable"},
	"ReplayFilter.state":               {example: []any{"failed", "unknown"}},
	"ReplayFilter.to":                  {example: "2026-03-03T09:30:00Z"},
	"Sent.status":                      {doc: "scheduled: it can be cancelled until release_at."},
	"Session.this":                     {example: true},
	"StaffMember.name":                 {doc: "The name that other staff and recipients see.", example: "Maria Lindqvist"},
	"StaffMember.state":                {example: "active"},
	"StaffMember.email":                {example: "maria.lindqvist@clinic.example.test"},
	"AddedStaffMember.name":            {doc: "The name that other staff and recipients see.", example: "Noel Novice"},
	"AddedStaffMember.email":           {example: "noel.novice@clinic.example.test"},
	"AddedStaffMember.link_sent":       {example: true},
	"NewStaffMember.name":              {example: "Noel Novice"},
	"NewStaffMember.email":             {example: "noel.novice@clinic.example.test"},
	"ChangeStaffInputBody.name":        {example: "Noel Novice"},
	"ChangeStaffInputBody.email":       {example: "noel.novice@clinic.example.test"},
	"State.at":                         {doc: "When the state was read."},
	"State.alerts":                     {},
	"State.consumers":                  {doc: "The consumers of the record, and how far each is."},
	"State.content":                    {doc: "The content of messages: whether all of it is found and copied."},
	"State.emergencies":                {doc: "How emergency access is used."},
	"State.record":                     {doc: "The last comparison of the record with its second copy."},
	"State.recorder":                   {doc: "How far the tables are behind the record."},
	"State.stream":                     {doc: "The size of the record."},
	"State.parked":                     {example: 0},
	"Consumer.name":                    {doc: "The name of the consumer.", example: "notify"},
	"Token.name":                       {example: "reporting script"},
	"MadeToken.name":                   {example: "reporting script"},
	"NewToken.name":                    {example: "reporting script"},
	"MessageDelivery.name":             {doc: "The name of the portal user."},
	"MessageDelivery.alert":            {doc: "The e-mail that told the portal user about the message."},
	"Recipients.about":                 {example: []any{map[string]any{"portal_user_id": "ingrid-berg", "patient_ids": []any{"clara-schmitt"}}}},
	"ChosenRecipients.about":           {example: []any{map[string]any{"portal_user_id": "ingrid-berg", "patient_ids": []any{"clara-schmitt"}}}},
	"UnreadDelivery.name":              {doc: "The name of the portal user."},
	"UnreadDelivery.alert":             {doc: "The e-mail that told the portal user about the message."},
	"Unreachable.reason":               {example: ""},
	"Patient.name":                     {example: "Amina Diallo"},
	"Waiting.reason":                   {doc: "Why the alerts wait.", example: "retry"},
	"Waiting.pause_reason":             {example: ""},
	"Waiting.paused_message_id":        {null: true},
	"AlertingStatus.pauses":            {doc: "The pauses in force, that of all messages first."},
	"AlertingInputBody.reason":         {example: "SendGrid answers with errors"},
	"OpenedMessage.subject":            {doc: "The subject."},
	"OpenedMessage.attachments":        {doc: "Its documents."},
	"SignInInputBody.email":            {doc: "The e-mail address of the account."},
	"SignInInputBody.password":         {doc: "The password of the account."},
	"Accounting.name":                  {doc: "The patient's name.", example: "Amina Diallo"},
	"Accounting.from":                  {example: "2020-03-02"},
	"Accounting.to":                    {example: "2026-03-02"},
	"AccountedDisclosure.to":           {example: "Attorney Jane Roe"},
	"AccountedDisclosure.address":      {example: "2 Court Street, Springfield"},
	"AccountedDisclosure.what":         {example: "The certificate and the receipt of a message"},
	"AccountedDisclosure.purpose":      {doc: "Why it was disclosed.", example: "Court order 26-1177"},
	"AccountedDisclosure.exempt":       {example: ""},
	"AccountedDisclosure.message_id":   {null: true},
	"HandOverInputBody.to":             {example: "Attorney Jane Roe"},
	"HandOverInputBody.address":        {example: "2 Court Street, Springfield"},
	"HandOverInputBody.purpose":        {example: "Court order 26-1177"},
	"ClinicDetails.name":               {example: "Lakeside Practice"},
	"ClinicDetails.telephone":          {example: "+1 555 0100"},
	"ClinicDetails.address":            {example: "1 Lake Road\nSpringfield"},
	"ClinicDetails.hours":              {example: "Monday to Friday, 8 am to 6 pm"},
	"ClinicDetails.help":               {example: "Ask at the desk for help with the portal."},
	"ClinicDetails.colour":             {example: "#0a5c66"},
	"Logo.media_type":                  {example: "image/svg+xml"},
	"Logo.data":                        {example: "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciPjwvc3ZnPg=="},
	"LinkedPatient.birth_date":         {example: "1980-02-29"},
	"MyPatient.name":                   {example: "Amina Diallo"},
	"Notice.seq":                       {doc: "The sequence of the event that ended the message, or that ended the last replay of its alerts.", example: 4711},
	"Notice.ended_at":                  {doc: "When the message ended: when it was delivered and all its alerts were tried."},
	"Notice.at":                        {doc: "When it ended, or when the last replay of its alerts ended."},
	"Notice.read":                      {doc: "I have marked it as read, as it is now.", example: false},
	"Notice.failures":                  {doc: "Why alerts failed or are unknown, the commonest reason first. Empty also if there are more than 20,000."},
	"NoticeFailure.reason":             {doc: "The reason; empty if none was given.", example: "The mailbox is full."},
	"NoticeFailure.count":              {doc: "How many recipients.", example: 12},
	"NoticeFailure.state":              {doc: "The state of their alerts."},
	"NoticesRead.seq":                  {example: 4711},
	"Draft.recipients":                 {doc: "The recipients chosen so far."},
	"Draft.attachment_ids":             {doc: "The documents added so far."},
	"Draft.staff_bcc":                  {doc: "The staff members who get a copy, by id.", example: []any{}},
	"Draft.saved_at":                   {doc: "When it was last saved."},
	"Draft.expires_at":                 {doc: "When it is deleted, unless it is saved again before."},
	"WordingText.name":                 {example: "After a visit"},
	"SavedWording.name":                {example: "After a visit"},
	"SavedWording.saved_at":            {doc: "When it was last saved."},
	"Stuck.kind":                       {example: "parked_events"},
	"Stuck.what":                       {example: "2 parked events"},
	"Stuck.do":                         {example: "Read why, and retry or discard them."},
	"Stuck.page":                       {example: "/operations/parked"},
	"UnlinkInputBody.password":         {example: "paper-boat-harbour"},
}

func exampleLinks(id string) map[string]any {
	self := "/v1/messages/" + id
	return map[string]any{"self": self, "deliveries": self + "/deliveries", "stream": self + "/stream",
		"cancel": self + "/cancel", "recall": self + "/recall"}
}

// schemaDocs describes schemas whose fields do not say enough together.
var schemaDocs = map[string]string{ // #nosec G101 -- sentences
	"AddedStaffMember":     "A staff member who was just added.",
	"Alert":                "The e-mail that tells a portal user about a new message.",
	"AlertingInputBody":    "Which alerts to pause or resume, and why.",
	"AlertingStatus":       "Whether alerts are paused.",
	"AskErasureBody":       "A request to erase the content of a message.",
	"Attachment":           "A document.",
	"Cancelled":            "How many messages were cancelled.",
	"ChangeStaffInputBody": "The changes of a staff member. Fields that are left out stay.",
	"ChosenRecipients":     "The recipients as the sender chose them.",
	"Consumer":             "A consumer of the record, and how far it is.",
	"Content":              "Whether the content of messages is found and copied.",
	"Delivery":             "One message in one portal user's inbox.",
	"DiscardInputBody":     "Why a parked event is discarded.",
	"Emergencies":          "How emergency access is used.",
	"Emergency":            "An opening of emergency access.",
	"EmergencyAttachment":  "A document of a message that was opened by emergency access.",
	"EmergencyContent":     "The content of a message that was opened by emergency access.",
	"EmergencyDetail":      "An opening of emergency access, with what was shown by it.",
	"EmergencyDisclosure":  "A message about the patient whose disclosures were opened.",
	"EmergencyReading":     "Something that was shown by emergency access.",
	"EmergencyReviewBody":  "The finding of a reviewer.",
	"Erasure":              "A request to erase the content of a message, and its status.",
	"Event":                "An event that a worker could not handle.",
	"Fault":                "One error in a request, with its location.",
	"Found":                "A result of Global Search.",
	"Grant":                "A request for a permission that takes two people.",
	"Hold":                 "A pause of alerts that delays a replay.",
	"Hour":                 "The results of alerts in one hour.",
	"InboxMessage":         "A message as a portal user sees it in the list.",
	"Invitations":          "A run of invitations to portal users, and how far it is.",
	"Label":                "A word of the clinic, for one and for many.",
	"Labels":               "The clinic's words (Custom Labels). A label that is left out of a change stays.",
	"Lag":                  "How far the tables are behind the record.",
	"Letter":               "What a letter has with which a portal user without an e-mail address gets in.",
	"LinkedPatient":        "A patient to whom a portal user is linked.",
	"MadeToken":            "A new API token, with the token itself, which is shown only once.",
	"Me":                   "The person who is signed in.",
	"Message":              "A message as staff see it.",
	"MessageInFull":        "A message with the fields that only its sender and Staff Bcc may read.",
	"Minute":               "SendGrid's answers in one minute.",
	"NewMessage":           "A message to be sent.",
	"NewStaffMember":       "A staff member to be added.",
	"NewToken":             "An API token to be made.",
	"OpenEmergencyBody":    "What to open, and why: a message, or a patient.",
	"OpenedMessage":        "A message that the portal user has opened.",
	"ParkedInFull":         "A parked event with the event as it is stored.",
	"PasswordInputBody":    "The present and the new password.",
	"Pause":                "A pause of alerts.",
	"Permissions":          "The permissions of a staff member.",
	"PlanInputBody":        "Which alerts to repeat, and why.",
	"Accounting":           "The accounting of disclosures of one patient, as 45 CFR 164.528(b) wants it.",
	"AccountedDisclosure":  "One disclosure: when, to whom, what, and why.",
	"Bar":                  "What happened in one part of a span.",
	"ClinicDetails":        "What portal users see of the clinic.",
	"Doubt":                "A reason to look again before sending to a portal user who was chosen by hand.",
	"Download":             "A download of a document by a portal user.",
	"HandOverInputBody":    "To whom the evidence goes, and why.",
	"Logo":                 "The clinic's logo.",
	"MyPatient":            "A patient on whose account a portal user gets messages.",
	"NotSent":              "Why a message is not in a portal user's inbox.",
	"PersonDelivery":       "A message that was sent, or was to be sent, to one portal user, and what became of it.",
	"Draft":                "A message that the caller is writing on the pages.",
	"SavedWording":         "A text to use again: the caller's own, or the clinic's.",
	"Stuck":                "Work that does not go on by itself.",
	"Wait":                 "How long something took, of all to whom it happened, in seconds.",
	"Notice":               "A message of the caller that has ended, with its figures of now.",
	"NoticeFailure":        "How many alerts failed or are unknown for one reason.",
	"NoticesRead":          "Up to where notices were read.",
	"WordingText":          "What a saved wording says, and whose it is.",
	"About":                "Whom the message to one portal user concerns.",
	"MessageDelivery":      "A delivery of one message, with whom it concerns.",
	"PortalUser":           "A portal user with their patients.",
	"Preview":              "An audience, counted exactly.",
	"PreviewInputBody":     "The recipients to count.",
	"Problem":              "What went wrong (RFC 9457). The section Errors describes every kind.",
	"Progress":             "How far the delivery of a message is.",
	"RecallInputBody":      "Why a message is recalled.",
	"Recipients":           "Portal users chosen one by one, groups, or both. Each person gets the message once.",
	"Record":               "The last comparison of the record with its second copy.",
	"RecordEvent":          "An event in a list of the record.",
	"RecordEventInFull":    "An event as it is stored.",
	"RecordFilter":         "The events that an export contains. A field that is left out does not limit them.",
	"RecordManifest":       "What an export contains, and what proves it.",
	"Replay":               "A replay of alerts and its progress.",
	"ReplayFilter":         "The alerts of a replay. A field that is left out does not limit them.",
	"Replication":          "The replicas of Postgres.",
	"Sent":                 "The message that was accepted for sending.",
	"Session":              "A place where the person is signed in.",
	"SignInInputBody":      "The credentials of an account.",
	"StaffMember":          "A staff member.",
	"StaffPermissions":     "The permissions that a staff member has, and those that are requested.",
	"StartInputBody":       "How fast the replay goes.",
	"StartInvitationsBody": "Whom to invite: a list of portal users, or all without an account.",
	"State":                "The state of the system.",
	"Stream":               "The size of the record.",
	"Token":                "An API token, without the token itself.",
	"UnlinkInputBody":      "The password of the account.",
	"UnreadDelivery":       "A delivery that its recipient has not opened.",
	"Unreachable":          "An active portal user without a working e-mail address.",
	"Share":                "The part that a message has in the alerts of a period.",
	"Patient":              "A patient of the directory.",
	"LinkedPortalUser":     "A portal user that is linked to a patient.",
	"Waiting":              "Alerts that wait, and why.",
}

// bodies are examples of requests in which not all fields fit together.
var bodies = map[string]any{
	"AlertingInputBody":    map[string]any{"reason": "SendGrid answers with errors"},
	"OpenEmergencyBody":    map[string]any{"message_id": exampleID, "reason": "Emergency admission: the care plan is needed now."},
	"StartInvitationsBody": map[string]any{"portal_user_ids": []any{"denis-schmitt", "ingrid-berg"}},
	"NewMessage": map[string]any{"subject": "Your care plan", "body": "Please read it before your next visit.",
		"recipients": map[string]any{"groups": []any{"active_patients"}}, "attachment_ids": []any{exampleID}, "undo_seconds": 10},
	"PlanInputBody": map[string]any{"filter": map[string]any{"message_id": exampleID, "state": []any{"failed", "unknown"}},
		"reason": "The mail server of the domain was down."},
	"Labels": map[string]any{"patient": map[string]any{"one": "Client", "many": "Clients"}},
}

// described returns what the tables say of a field.
func described(schema, name string) field {
	general, own := fields[name], fields[schema+"."+name]
	if own.doc == "" {
		own.doc = general.doc
	}
	if own.example == nil {
		own.example = general.example
	}
	return own
}

// describeSchema completes a schema of the description and its fields.
func describeSchema(name string, s *huma.Schema) {
	if s.Description == "" {
		s.Description = schemaDocs[name]
	}
	if of, isList := strings.CutPrefix(name, "List"); isList && s.Description == "" {
		s.Description = "A page of a list of " + of + "."
	}
	for property, p := range s.Properties {
		d := described(name, property)
		if p.Description == "" {
			p.Description = d.doc
		}
		p.Nullable = p.Nullable || d.null
		if len(p.Examples) == 0 && p.Ref == "" && d.example != nil && fits(d.example, p) {
			p.Examples = []any{d.example}
		}
	}
}

// fits reports whether an example by name alone can be of a field: the same name may stand for
// a number in one answer and for an object in another.
func fits(example any, s *huma.Schema) bool {
	if len(s.Enum) > 0 {
		for _, one := range s.Enum {
			if one == example {
				return true
			}
		}
		return false
	}
	switch example := example.(type) {
	case string:
		if s.Format == "date-time" {
			_, err := time.Parse(time.RFC3339, example)
			return err == nil && s.Type == huma.TypeString
		}
		return s.Type == huma.TypeString
	case int:
		return s.Type == huma.TypeInteger
	case bool:
		return s.Type == huma.TypeBoolean
	case []any:
		return s.Type == huma.TypeArray
	case map[string]any:
		return s.Type == huma.TypeObject || s.Type == ""
	}
	return false
}

// exampleOf returns an example of a schema: of its fields, in every depth.
func (a *API) exampleOf(s *huma.Schema) any {
	if name, isRef := strings.CutPrefix(s.Ref, "#/components/schemas/"); isRef {
		if body, ok := bodies[name]; ok {
			return body
		}
		return a.exampleOf(a.huma.OpenAPI().Components.Schemas.Map()[name])
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Default != nil:
		return s.Default
	}
	switch s.Type {
	case huma.TypeObject:
		o := map[string]any{}
		for name, p := range s.Properties {
			o[name] = a.exampleOf(p)
		}
		return o
	case huma.TypeArray:
		return []any{a.exampleOf(s.Items)}
	case huma.TypeInteger:
		return 0
	case huma.TypeNumber:
		return json.Number("0.5")
	case huma.TypeBoolean:
		return false
	case huma.TypeString:
		return exampleOfFormat(s.Format)
	}
	return nil
}

// exampleOfFormat returns an example of a text with a format. A text without one needs an example
// of its own: a test fails where the empty text stands for it.
func exampleOfFormat(format string) string {
	switch format {
	case "uuid":
		return exampleID
	case "date-time":
		return exampleTime
	}
	return ""
}
