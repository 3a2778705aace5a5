// Package config is the only place where settings are read. The comments on the fields of
// [Config] are the manual.
//
// A setting comes from the environment. A flag of the same name overrides it: DATABASE_URL
// is --database-url. All wrong settings are reported at once.
//
// A setting that holds a secret can be read from a file: DATABASE_URL_FILE names a file with the
// value of DATABASE_URL. See [InFile].
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"postern/internal/access/groups"
	"postern/internal/inbound"
	"postern/internal/notify/sendgrid"
	"postern/internal/proof/checkpoint"
	"postern/internal/text/address"
	"postern/internal/text/zone"
)

// Config holds every setting of every process; each reads what it needs.
type Config struct {
	// DatabaseURL names the Postgres database, as postgres://user@host/name. Its
	// user must be a member of the process's role; see docs/security.md.
	DatabaseURL string `env:"DATABASE_URL" mask:"dsn"`
	// NATSURL names the JetStream servers, comma-separated, each with the
	// credentials of this process.
	NATSURL string `env:"NATS_URL" mask:"urls"`
	// NATSCAFile, NATSCertFile and NATSKeyFile are for TLS, all as PEM: the authority that signed
	// the servers' certificates (default: the authorities of this machine), and the certificate
	// of this process with its key, if the servers ask for one. With any of them, connections
	// are encrypted.
	NATSCAFile   string `env:"NATS_CA_FILE"`
	NATSCertFile string `env:"NATS_CERT_FILE"`
	NATSKeyFile  string `env:"NATS_KEY_FILE"`
	// NATSCredentialsFile has a NATS user's JWT and key (a .creds file), in place of a password
	// in NATS_URL.
	NATSCredentialsFile string `env:"NATS_CREDENTIALS_FILE"`
	// ListenAddr is the address on which HTTP is served. The workers serve health and
	// metrics there, and no HTTP if it is empty. Plain HTTP is served on a loopback address
	// alone, unless BEHIND_PROXY is set.
	ListenAddr string `env:"LISTEN_ADDR"`
	// TLSCertFile and TLSKeyFile are the certificate, with its chain, and its key, as PEM. With
	// them, LISTEN_ADDR serves https. They are read again on SIGHUP, and at most a minute after
	// they have changed.
	TLSCertFile string `env:"TLS_CERT_FILE"`
	TLSKeyFile  string `env:"TLS_KEY_FILE"`
	// ACMEDomains are host names, comma-separated, for which the api gets certificates by itself,
	// in place of TLS_CERT_FILE. LISTEN_ADDR must then be reached at port 443 of these names.
	ACMEDomains string `env:"ACME_DOMAINS"`
	// ACMEEmail is where the ACME server sends warnings; it may be empty.
	ACMEEmail string `env:"ACME_EMAIL"`
	// ACMEDirectory is the ACME server's directory. With ACME_DOMAINS, the terms of service of
	// that server are accepted.
	ACMEDirectory string `env:"ACME_DIRECTORY" envDefault:"https://acme-v02.api.letsencrypt.org/directory" mask:"url"`
	// ACMECAFile has the authority that signed the ACME server's own certificate, as PEM, for a
	// server of the clinic; empty: the authorities of this machine.
	ACMECAFile string `env:"ACME_CA_FILE"`
	// ACMEFolder keeps the account's key and the certificates; default of postern up: the folder
	// acme in the data folder.
	ACMEFolder string `env:"ACME_FOLDER"`
	// BehindProxy is true if a proxy in front of this process serves https, and passes requests
	// on to LISTEN_ADDR in plain HTTP. The network between the two must be private. The proxy
	// must set X-Forwarded-For and X-Forwarded-Proto; see TRUSTED_PROXIES.
	BehindProxy bool `env:"BEHIND_PROXY"`
	// TrustedProxies are the networks of the proxies in front of this process, as
	// 10.0.0.0/8,2001:db8::7. Only their Forwarded and X-Forwarded-For headers are used for
	// the address of a client. Without this setting, all clients behind a proxy count as one
	// client when sign-ins are slowed down. With BEHIND_PROXY, their X-Forwarded-Proto says
	// whether a request was encrypted.
	TrustedProxies string `env:"TRUSTED_PROXIES"`
	// HSTSSubdomains is true if browsers must use https alone for all subdomains of PUBLIC_URL's
	// host too, for two years. Set it only if each of them has https.
	HSTSSubdomains bool `env:"HSTS_SUBDOMAINS"`
	// MetricsAddr is a second address, for operators: /metrics, /readyz with every reason, and
	// Go's profiles. If LISTEN_ADDR is not a loopback address, metrics are served here alone.
	MetricsAddr string `env:"METRICS_ADDR"`
	// MetricsExposed is true if METRICS_ADDR may be other than a loopback address. It is plain
	// HTTP: keep it on a network that only the monitoring reaches.
	MetricsExposed bool `env:"METRICS_EXPOSED"`
	// PublicURL is the address at which people reach the portal: the link in every alert.
	PublicURL string `env:"PUBLIC_URL" mask:"url"`
	// SendGridAPIKey authenticates the sending of alerts at SendGrid.
	SendGridAPIKey string `env:"SENDGRID_API_KEY" mask:"secret"`
	// SendGridBaseURL replaces the address of SendGrid's API.
	SendGridBaseURL string `env:"SENDGRID_BASE_URL" mask:"url"`
	// SendGridWebhookPublicKey verifies SendGrid's reports (base64 of DER).
	SendGridWebhookPublicKey string `env:"SENDGRID_WEBHOOK_PUBLIC_KEY"`
	// AlertFrom is the sender of alerts, as "Clinic <alerts@clinic.example>".
	AlertFrom string `env:"ALERT_FROM"`
	// AlertFailureLimit is the percentage of a chunk's alerts that may fail before the alerts
	// of its message are paused automatically; 0 means no limit.
	AlertFailureLimit int `env:"ALERT_FAILURE_LIMIT" envDefault:"20"`
	// AlertUnknownWait is how long to wait for SendGrid's reports before an alert with an
	// unknown result is sent again, as 10m. Without SENDGRID_WEBHOOK_PUBLIC_KEY there are no
	// reports, and no such alert is sent again.
	AlertUnknownWait time.Duration `env:"ALERT_UNKNOWN_WAIT" envDefault:"10m"`
	// LettersPerSecond is the most e-mails a second that the api sends in the background: the
	// invitations of a run, notices that the address of an account has changed, and e-mails to
	// senders whose message has ended.
	LettersPerSecond int `env:"LETTERS_PER_SECOND" envDefault:"10"`
	// RecordReplicas is the number of servers that store the record: 1, 3 or 5.
	RecordReplicas int `env:"RECORD_REPLICAS" envDefault:"1"`
	// ContentURL is the bucket of encrypted content: a folder or s3://….
	ContentURL string `env:"CONTENT_URL" mask:"url"`
	// ContentKeyFile holds the key-encryption key of all content.
	ContentKeyFile string `env:"CONTENT_KEY_FILE"`
	// CheckpointKeyFile holds the key that signs checkpoints of the record.
	CheckpointKeyFile string `env:"CHECKPOINT_KEY_FILE"`
	// ArchiveURL is the bucket of checkpoints and sealed segments.
	ArchiveURL string `env:"ARCHIVE_URL" mask:"url"`
	// RetentionYears is how long content is kept; the default is six years. Fewer are
	// possible. Every change is recorded.
	RetentionYears int `env:"RETENTION_YEARS" envDefault:"6"`
	// ClamdAddr is the virus scanner's address; if empty, no files are scanned.
	ClamdAddr string `env:"CLAMD_ADDR"`
	// StaffSecondFactor is "required" if every staff member who signs in with a password
	// must have a second factor, or "optional". The demo requires none.
	StaffSecondFactor string `env:"STAFF_SECOND_FACTOR" envDefault:"required"`
	// TwoPersonDays is how many days old an account, and a permission that one person gave the
	// other, must be for two staff members to count as two people, as for an erasure. 0 looks at
	// no ages. `postern up --demo` uses 0.
	TwoPersonDays int `env:"TWO_PERSON_DAYS" envDefault:"7"`
	// ClinicName is the clinic's name until an administrator sets it in Clinic Details. Passwords
	// that are made of the name are refused.
	ClinicName string `env:"CLINIC_NAME"`
	// PublicProof is what everyone gets of the record without signing in: nothing; key, which
	// verifies receipts; or commitment, which is the key and, each hour, the digest of a signed
	// checkpoint, without the number of events.
	PublicProof string `env:"PUBLIC_PROOF" envDefault:"commitment"`
	// TimeZone is the clinic's time zone, as an IANA name: Europe/Berlin. Pages, e-mails and prints
	// have their times in it, typed times are read in it, and the day on which a link to a patient
	// begins or ends is a day there. All processes must have the same one. Empty: the zone of this
	// machine. The API and the exports have UTC.
	TimeZone string `env:"TIME_ZONE"`
	// SignInSourceBits says how much of a client's address is recorded where a sign-in fails: the
	// numbers of bits of an IPv4 and of an IPv6 address. 0,0 records nothing of it.
	SignInSourceBits string `env:"SIGN_IN_SOURCE_BITS" envDefault:"24,48"`
	// OIDCIssuer is the clinic's own identity provider, at which staff may sign in, as
	// https://login.clinic.example. Staff whom it authenticates need no Postern password.
	// Set all three of these settings or none. The redirect URI to register there is
	// PUBLIC_URL/sign-in/organisation/back.
	OIDCIssuer       string `env:"OIDC_ISSUER" mask:"url"`
	OIDCClientID     string `env:"OIDC_CLIENT_ID"`
	OIDCClientSecret string `env:"OIDC_CLIENT_SECRET" mask:"secret"`
	// OIDCScopes are scopes that are asked for besides openid and email, comma-separated: those
	// for which the identity provider puts the name (usually profile) and the groups of a person
	// into its ID tokens.
	OIDCScopes string `env:"OIDC_SCOPES"`
	// OIDCGroupsClaim is the claim of the ID token with the person's groups.
	OIDCGroupsClaim string `env:"OIDC_GROUPS_CLAIM" envDefault:"groups"`
	// OIDCPermissions are the permissions that groups give, as
	// nurses=send_portal_message;managers=send_bulk_portal_message,manage_labels. At each
	// sign-in at the organisation they are given, and those that a group gave and gives no
	// longer are taken. manage_staff and what takes two people are given at Staff Info
	// alone.
	OIDCPermissions string `env:"OIDC_PERMISSIONS"`
	// OIDCJIT is true if a person without a staff account, whose groups give a permission, gets
	// an account at their first sign-in at the organisation.
	OIDCJIT bool `env:"OIDC_JIT"`
	// OIDCRequireMFA is what the ID token must say of a second factor: true (its claim amr has
	// mfa, otp or hwk), or the values of the claim acr of which it must have one,
	// comma-separated; false requires nothing.
	OIDCRequireMFA string `env:"OIDC_REQUIRE_MFA" envDefault:"false"`
	// OTLPEndpoint is the collector of traces; if empty, none are sent.
	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" mask:"url"`
}

// UnknownWait is the default of ALERT_UNKNOWN_WAIT.
const UnknownWait = 10 * time.Minute

// A Process is a process that reads settings. It determines which of them are required.
type Process string

// The processes.
const (
	API      Process = "api"
	Fanout   Process = "fanout-worker"
	Notify   Process = "notify-worker"
	Recorder Process = "recorder"
)

// FromEnvironment reads the settings of the starting process from its command line and its
// environment; the command line has priority. If settings are wrong, it prints every error
// and exits with status 2.
func FromEnvironment(p Process) Config {
	c, err := Load(p, os.Args[1:], os.Environ(), os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: wrong settings:\n%v\n", p, err)
		os.Exit(2)
	}
	return c
}

// Load reads and checks the settings of p.
func Load(p Process, args, environ []string, usage io.Writer) (Config, error) {
	values := env.ToMap(environ)
	flags := flag.NewFlagSet(string(p), flag.ContinueOnError)
	flags.SetOutput(usage)
	given := map[string]*setFlag{}
	for _, name := range Names() {
		given[name] = &setFlag{setting: name}
		flags.Var(given[name], FlagName(name), "overrides "+name)
	}
	if err := flags.Parse(args); err != nil {
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		name := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		values[name] = given[name].String()
	})
	c, err := parse(values)
	return c, errors.Join(err, c.Check(p))
}

// Embedded reads the settings of `postern up`, which runs its own stores. It reports values
// that can't be parsed. [Config.Check] reports other errors, for each process that it runs.
func Embedded(environ []string) (Config, error) { return parse(env.ToMap(environ)) }

// parse reads the settings. Its error names every file of a secret that can't be read, and every
// value that must be a number, a duration, or true or false, and is not.
func parse(values map[string]string) (Config, error) {
	var c Config
	var wrong env.AggregateError
	values, faults := withSecretFiles(values)
	if err := env.ParseWithOptions(&c, env.Options{Environment: values}); !errors.As(err, &wrong) {
		return c, errors.Join(append(faults, err)...)
	}
	for _, err := range wrong.Errors {
		var field env.ParseError
		if !errors.As(err, &field) {
			return c, err
		}
		f, _ := reflect.TypeFor[Config]().FieldByName(field.Name)
		name, form := f.Tag.Get("env"), "a whole number"
		switch {
		case f.Type == reflect.TypeFor[time.Duration]():
			form = "a duration, as 10m"
		case f.Type.Kind() == reflect.Bool:
			form = "true or false"
		}
		faults = append(faults, fmt.Errorf("  %s is %q; it must be %s", name, values[name], form))
	}
	return c, errors.Join(faults...)
}

// Names returns the names of all settings, and of the files that can hold one.
func Names() []string {
	var names []string
	eachField(func(name, mask string) {
		names = append(names, name)
		if isSecret(mask) {
			names = append(names, InFile(name))
		}
	})
	return names
}

// FlagName is the flag that overrides a setting.
func FlagName(setting string) string {
	return strings.ToLower(strings.ReplaceAll(setting, "_", "-"))
}

// Check reports every error of c for process p at once. It fills in the defaults that
// depend on other settings.
func (c *Config) Check(p Process) error {
	if p == API && c.ListenAddr == "" {
		c.ListenAddr = "127.0.0.1:8080"
	}
	if p == API && c.PublicURL == "" {
		c.PublicURL = c.ownURL()
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("  "+format, args...)) }
	if err := checkZone(c.TimeZone); err != nil {
		fault("%w", err)
	}
	c.checkStores(p, fault)
	c.checkServing(p, fault)
	c.checkTransport(p, fault)
	c.checkAlerts(p, fault)
	return errors.Join(faults...)
}

// fault adds an error, in the words that the operator sees.
type fault func(format string, args ...any)

// checkStores checks the settings of the database, the stream and the buckets.
func (c *Config) checkStores(p Process, fault fault) {
	if u, err := url.Parse(c.DatabaseURL); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		fault("DATABASE_URL must be set, as postgres://user@host/database")
	}
	if c.NATSURL == "" {
		fault("NATS_URL must be set, as nats://user:password@host:4222")
	} else if !areServers(c.NATSURL) {
		fault("NATS_URL must be the addresses of servers, comma-separated, each as nats://user:password@host:4222")
	}
	if (c.NATSCertFile == "") != (c.NATSKeyFile == "") {
		fault("NATS_CERT_FILE and NATS_KEY_FILE must be set together")
	}
	if err := checkReplicas(c.RecordReplicas); err != nil {
		fault("%w", err)
	}
	if p == API || p == Fanout {
		if c.ContentURL == "" {
			fault("CONTENT_URL must be set: a folder, or a bucket as s3://name")
		}
		if c.ContentKeyFile == "" {
			fault("CONTENT_KEY_FILE must be set; `postern keys create FILE` makes one")
		}
	}
	if !isBucket(c.ContentURL) {
		fault("CONTENT_URL must be a folder, or a bucket as s3://name")
	}
	if !isBucket(c.ArchiveURL) {
		fault("ARCHIVE_URL must be a folder, or a bucket as s3://name")
	}
	if p == API && (c.RetentionYears < 1 || c.RetentionYears > 1000) {
		fault("RETENTION_YEARS is %d; it must be 1 to 1000, and the default is 6", c.RetentionYears)
	}
}

func checkReplicas(n int) error {
	if n != 1 && n != 3 && n != 5 {
		return fmt.Errorf("RECORD_REPLICAS is %d; it can be 1, 3 or 5", n)
	}
	return nil
}

func checkZone(name string) error {
	if _, err := zone.Load(name); err != nil {
		return fmt.Errorf("TIME_ZONE: %w. Use an IANA name, such as Europe/Berlin or America/New_York, or leave it out for the zone of this machine", err)
	}
	return nil
}

// Stores reads the settings of the stores alone: DATABASE_URL and those that begin with NATS_.
// It refuses a wrong TIME_ZONE too, because verbs use the clinic's day.
func Stores(environ []string) (Config, error) {
	values := env.ToMap(environ)
	if err := checkZone(values["TIME_ZONE"]); err != nil {
		return Config{}, err
	}
	maps.DeleteFunc(values, func(name, _ string) bool {
		return name != "DATABASE_URL" && name != InFile("DATABASE_URL") && !strings.HasPrefix(name, "NATS_")
	})
	c, err := parse(values)
	if err != nil {
		return c, errors.New(strings.TrimSpace(err.Error()))
	}
	return c, nil
}

// Replicas reads RECORD_REPLICAS alone and reports whether it is set.
func Replicas(environ []string) (n int, given bool, err error) {
	const name = "RECORD_REPLICAS"
	value := env.ToMap(environ)[name]
	c, err := parse(map[string]string{name: value})
	if err != nil {
		return 0, false, errors.New(strings.TrimSpace(err.Error()))
	}
	return c.RecordReplicas, value != "", checkReplicas(c.RecordReplicas)
}

// UseTimeZone makes TIME_ZONE the zone of this process; see [zone.Use]. Call it in main. A wrong name
// changes nothing: what reads settings refuses it, with their other faults.
func UseTimeZone() { _ = zone.Use(os.Getenv("TIME_ZONE")) }

// ClinicName reads CLINIC_NAME alone.
func ClinicName(environ []string) string { return env.ToMap(environ)["CLINIC_NAME"] }

// checkServing checks the settings of HTTP, sign-in, the virus scanner and traces.
func (c *Config) checkServing(p Process, fault fault) {
	if _, _, err := net.SplitHostPort(c.ListenAddr); c.ListenAddr != "" && err != nil {
		fault("LISTEN_ADDR %q is not host:port", c.ListenAddr)
	}
	if _, err := inbound.ParseProxies(c.TrustedProxies); err != nil {
		for one := range strings.Lines(err.Error()) {
			fault("TRUSTED_PROXIES must be networks or addresses, comma-separated: %s", strings.TrimSpace(one))
		}
	}
	if (p == API || p == Notify) && !isURL(c.PublicURL, "http", "https") {
		fault("PUBLIC_URL must be the http(s) address at which people reach the portal")
	}
	if p == API && (c.TwoPersonDays < 0 || c.TwoPersonDays > 365) {
		fault("TWO_PERSON_DAYS is %d; it must be 0 to 365, and the default is 7", c.TwoPersonDays)
	}
	if p == API && c.StaffSecondFactor != "optional" && c.StaffSecondFactor != "required" {
		fault("STAFF_SECOND_FACTOR is %q; it can be optional or required", c.StaffSecondFactor)
	}
	if _, err := checkpoint.ParsePublic(c.PublicProof); p == API && err != nil {
		fault("PUBLIC_PROOF is %w", err)
	}
	if _, err := inbound.ParseCoarse(c.SignInSourceBits); p == API && err != nil {
		fault("SIGN_IN_SOURCE_BITS: %w", err)
	}
	if p == API {
		c.checkOIDC(fault)
	}
	if c.ClamdAddr != "" && !isScanner(c.ClamdAddr) {
		fault("CLAMD_ADDR must be host:port, or the path of a unix socket")
	}
	if c.OTLPEndpoint != "" && !isURL(c.OTLPEndpoint, "http", "https") {
		fault("OTEL_EXPORTER_OTLP_ENDPOINT must be the http(s) address of a collector, as http://collector:4318")
	}
}

// checkAlerts checks the settings of alerts and SendGrid.
func (c *Config) checkAlerts(p Process, fault fault) {
	if c.LettersPerSecond < 1 || c.LettersPerSecond > 1000 {
		fault("LETTERS_PER_SECOND is %d; it must be 1 to 1000", c.LettersPerSecond)
	}
	if c.AlertFailureLimit < 0 || c.AlertFailureLimit > 100 {
		fault("ALERT_FAILURE_LIMIT is %d; it is a percentage, 0 to 100", c.AlertFailureLimit)
	}
	if c.SendGridBaseURL != "" && !isURL(c.SendGridBaseURL, "http", "https") {
		fault("SENDGRID_BASE_URL must be an http(s) address, and can be left out")
	}
	if c.SendGridWebhookPublicKey != "" {
		if _, err := sendgrid.ParseWebhookKey(c.SendGridWebhookPublicKey); err != nil {
			fault("%w", err)
		}
	}
	// The api sends e-mails with links too, if these settings are present. Without them,
	// portal users can't request a new password themselves.
	if p == Notify || p == API && (c.SendGridAPIKey != "" || c.AlertFrom != "") {
		if c.SendGridAPIKey == "" {
			fault("SENDGRID_API_KEY must be set")
		}
		if _, err := address.Mailbox(c.AlertFrom); err != nil {
			fault("ALERT_FROM must be an address, as Clinic <alerts@clinic.example>: it %w", err)
		}
	}
	if p == Notify && c.SendGridWebhookPublicKey != "" && c.AlertUnknownWait < time.Second {
		fault("ALERT_UNKNOWN_WAIT is %s; it must be a second or more, as 10m", c.AlertUnknownWait)
	}
}

// checkOIDC requires all settings of an identity provider or none, and an encrypted
// connection for the secret.
func (c *Config) checkOIDC(fault fault) {
	if _, err := groups.Parse(c.OIDCPermissions); err != nil {
		for one := range strings.Lines(err.Error()) {
			fault("OIDC_PERMISSIONS: %s", strings.TrimSpace(one))
		}
	}
	if c.OIDCPermissions != "" && c.OIDCGroupsClaim == "" {
		fault("OIDC_GROUPS_CLAIM must be set if OIDC_PERMISSIONS is")
	}
	if c.OIDCJIT && c.OIDCPermissions == "" {
		fault("OIDC_PERMISSIONS must be set if OIDC_JIT is true: only people whose groups give a permission get an account")
	}
	for _, s := range []struct{ name, value string }{{"OIDC_REQUIRE_MFA", c.OIDCRequireMFA}, {"OIDC_SCOPES", c.OIDCScopes}} {
		if s.value != "" && slices.ContainsFunc(strings.Split(s.value, ","), func(one string) bool { return len(strings.Fields(one)) != 1 }) {
			fault("%s must be words without blanks, comma-separated", s.name)
		}
	}
	if c.OIDCIssuer == "" && c.OIDCClientID == "" && c.OIDCClientSecret == "" && c.OIDCScopes == "" && c.OIDCPermissions == "" && !c.OIDCJIT && slices.Contains([]string{"", "false"}, c.OIDCRequireMFA) {
		return
	}
	for _, s := range []struct{ name, value string }{{"OIDC_ISSUER", c.OIDCIssuer}, {"OIDC_CLIENT_ID", c.OIDCClientID}, {"OIDC_CLIENT_SECRET", c.OIDCClientSecret}} {
		if s.value == "" {
			fault("%s must be set if another OIDC_… setting is", s.name)
		}
	}
	u, err := url.Parse(c.OIDCIssuer)
	switch {
	case c.OIDCIssuer == "":
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		fault("OIDC_ISSUER must be an address, as https://login.clinic.example")
	case u.Scheme != "https" && (u.Scheme != "http" || !net.ParseIP(u.Hostname()).IsLoopback()):
		fault("OIDC_ISSUER must be an https address; http is for one on this machine")
	}
}

// LogValue returns the settings with secrets masked, for the line that every process logs at
// its start.
func (c Config) LogValue() slog.Value {
	var attrs []slog.Attr
	v := reflect.ValueOf(c)
	eachField(func(name, mask string) {
		field := v.FieldByIndex(indexOf(name))
		text := fmt.Sprint(field.Interface())
		if text != "" {
			attrs = append(attrs, slog.String(name, masks[mask](text)))
		}
	})
	return slog.GroupValue(attrs...)
}

func eachField(f func(name, mask string)) {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		f(t.Field(i).Tag.Get("env"), t.Field(i).Tag.Get("mask"))
	}
}

func indexOf(name string) []int {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("env") == name {
			return []int{i}
		}
	}
	panic("no such setting: " + name)
}
