// Package config is the one place where settings are read. The comments on the
// fields of [Config] are the manual.
//
// A setting comes from the environment or, before it, from the flag of the same
// name: DATABASE_URL is --database-url. Wrong settings are refused all at once.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"postern/internal/inbound"
	"postern/internal/notify/sendgrid"
	"postern/internal/text/address"
)

// Config holds every setting of every process; each reads what it needs.
type Config struct {
	// DatabaseURL names the Postgres database, as postgres://user@host/name. Its
	// user must be a member of the process's role; see docs/security.md.
	DatabaseURL string `env:"DATABASE_URL" mask:"dsn"`
	// NATSURL names the JetStream servers, comma-separated, each with the
	// credentials of this process.
	NATSURL string `env:"NATS_URL" mask:"urls"`
	// ListenAddr is where HTTP is served. The workers serve health and metrics
	// there, and nothing where it is empty.
	ListenAddr string `env:"LISTEN_ADDR"`
	// TrustedProxies are the networks of the proxies in front of this process, as
	// 10.0.0.0/8,2001:db8::7: what they say in Forwarded or X-Forwarded-For of where a
	// request comes from is believed, and nobody else is. Without it all who come
	// through a proxy count as one when sign-ins are slowed down.
	TrustedProxies string `env:"TRUSTED_PROXIES"`
	// PublicURL is where people reach the portal: the link in every alert.
	PublicURL string `env:"PUBLIC_URL" mask:"url"`
	// SendGridAPIKey signs alerts in at SendGrid.
	SendGridAPIKey string `env:"SENDGRID_API_KEY" mask:"secret"`
	// SendGridBaseURL is SendGrid's own unless it is set.
	SendGridBaseURL string `env:"SENDGRID_BASE_URL" mask:"url"`
	// SendGridWebhookPublicKey verifies SendGrid's reports (base64 of DER).
	SendGridWebhookPublicKey string `env:"SENDGRID_WEBHOOK_PUBLIC_KEY"`
	// AlertFrom is the sender of alerts, as "Clinic <alerts@clinic.example>".
	AlertFrom string `env:"ALERT_FROM"`
	// AlertFailureLimit is how many percent of a chunk's alerts may fail before the
	// alerts of its message pause by themselves; 0: any.
	AlertFailureLimit int `env:"ALERT_FAILURE_LIMIT" envDefault:"20"`
	// AlertUnknownWait is how long SendGrid's reports are waited for before an alert
	// whose answer was never learned is sent again, as 10m. Without
	// SENDGRID_WEBHOOK_PUBLIC_KEY no report comes, and none is sent again.
	AlertUnknownWait time.Duration `env:"ALERT_UNKNOWN_WAIT" envDefault:"10m"`
	// RecordReplicas is how many servers keep the record: 1, 3 or 5.
	RecordReplicas int `env:"RECORD_REPLICAS" envDefault:"1"`
	// ContentURL is the bucket of encrypted content: a folder or s3://….
	ContentURL string `env:"CONTENT_URL" mask:"url"`
	// ContentKeyFile holds the key-encryption key of all content.
	ContentKeyFile string `env:"CONTENT_KEY_FILE"`
	// CheckpointKeyFile holds the key that signs checkpoints of the record.
	CheckpointKeyFile string `env:"CHECKPOINT_KEY_FILE"`
	// ArchiveURL is the bucket of checkpoints and sealed segments.
	ArchiveURL string `env:"ARCHIVE_URL" mask:"url"`
	// RetentionYears is for how long content is kept, six years unless it is set. Fewer
	// are possible; the record says so, as it says of every change.
	RetentionYears int `env:"RETENTION_YEARS" envDefault:"6"`
	// ClamdAddr is the virus scanner's address; empty: nothing is scanned.
	ClamdAddr string `env:"CLAMD_ADDR"`
	// StaffSecondFactor is "required" where every staff member who signs in with a
	// password is to have a second factor, or "optional".
	StaffSecondFactor string `env:"STAFF_SECOND_FACTOR" envDefault:"optional"`
	// OIDCIssuer is the clinic's own identity provider, at which staff may sign in, as
	// https://login.clinic.example. Who it vouches for comes in without a password of
	// ours. All three of these are set or none; PUBLIC_URL/sign-in/organisation/back is
	// the redirect URI to register there.
	OIDCIssuer       string `env:"OIDC_ISSUER" mask:"url"`
	OIDCClientID     string `env:"OIDC_CLIENT_ID"`
	OIDCClientSecret string `env:"OIDC_CLIENT_SECRET" mask:"secret"`
	// OTLPEndpoint is where traces go; empty: nowhere.
	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" mask:"url"`
}

// UnknownWait is ALERT_UNKNOWN_WAIT where it is not set.
const UnknownWait = 10 * time.Minute

// A Process is what reads settings; it says which of them it needs.
type Process string

// The processes that run by themselves.
const (
	API      Process = "api"
	Fanout   Process = "fanout-worker"
	Notify   Process = "notify-worker"
	Recorder Process = "recorder"
)

// FromEnvironment reads the settings of the process that is starting: its
// command line over its environment. It exits with status 2 and every fault
// named where they are wrong, and prints what it took otherwise.
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
	given := map[string]*string{}
	eachField(func(name, _ string) {
		given[name] = flags.String(FlagName(name), "", "overrides "+name)
	})
	if err := flags.Parse(args); err != nil {
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		name := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		values[name] = *given[name]
	})
	c, err := parse(values)
	return c, errors.Join(err, c.Check(p))
}

// Embedded reads the settings of `postern up`, whose stores are its own. What is wrong
// in their form is named here; what else is wrong, by [Config.Check] for each process
// that it runs.
func Embedded(environ []string) (Config, error) { return parse(env.ToMap(environ)) }

// parse names every value that is no number or duration; the others are taken.
func parse(values map[string]string) (Config, error) {
	var c Config
	var wrong env.AggregateError
	if err := env.ParseWithOptions(&c, env.Options{Environment: values}); !errors.As(err, &wrong) {
		return c, err
	}
	var faults []error
	for _, err := range wrong.Errors {
		var field env.ParseError
		if !errors.As(err, &field) {
			return c, err
		}
		f, _ := reflect.TypeFor[Config]().FieldByName(field.Name)
		name, form := f.Tag.Get("env"), "a whole number"
		if f.Type == reflect.TypeFor[time.Duration]() {
			form = "a duration, as 10m"
		}
		faults = append(faults, fmt.Errorf("  %s is %q; it must be %s", name, values[name], form))
	}
	return c, errors.Join(faults...)
}

// Names are those of every setting.
func Names() []string {
	var names []string
	eachField(func(name, _ string) { names = append(names, name) })
	return names
}

// FlagName is the flag that overrides a setting.
func FlagName(setting string) string {
	return strings.ToLower(strings.ReplaceAll(setting, "_", "-"))
}

// Check names every fault of c for process p at once. It fills in the defaults that
// follow from other settings.
func (c *Config) Check(p Process) error {
	if p == API && c.ListenAddr == "" {
		c.ListenAddr = "127.0.0.1:8080"
	}
	if p == API && c.PublicURL == "" {
		c.PublicURL = "http://" + c.ListenAddr
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("  "+format, args...)) }
	c.checkStores(p, fault)
	c.checkServing(p, fault)
	c.checkAlerts(p, fault)
	return errors.Join(faults...)
}

// fault takes what is wrong, in the words that its reader sees.
type fault func(format string, args ...any)

// checkStores is about what the process keeps things in.
func (c *Config) checkStores(p Process, fault fault) {
	if u, err := url.Parse(c.DatabaseURL); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		fault("DATABASE_URL must be set, as postgres://user@host/database")
	}
	if c.NATSURL == "" {
		fault("NATS_URL must be set, as nats://user:password@host:4222")
	} else if !areServers(c.NATSURL) {
		fault("NATS_URL must be the addresses of servers, comma-separated, each as nats://user:password@host:4222")
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
		fault("RETENTION_YEARS is %d; it can be 1 to 1000, and six is what is promised", c.RetentionYears)
	}
}

func checkReplicas(n int) error {
	if n != 1 && n != 3 && n != 5 {
		return fmt.Errorf("RECORD_REPLICAS is %d; it can be 1, 3 or 5", n)
	}
	return nil
}

// Replicas reads RECORD_REPLICAS alone, and says whether it is set.
func Replicas(environ []string) (n int, given bool, err error) {
	const name = "RECORD_REPLICAS"
	value := env.ToMap(environ)[name]
	c, err := parse(map[string]string{name: value})
	if err != nil {
		return 0, false, errors.New(strings.TrimSpace(err.Error()))
	}
	return c.RecordReplicas, value != "", checkReplicas(c.RecordReplicas)
}

// checkServing is about who comes to the process, and what it looks at them with.
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
	if p == API && c.StaffSecondFactor != "optional" && c.StaffSecondFactor != "required" {
		fault("STAFF_SECOND_FACTOR is %q; it can be optional or required", c.StaffSecondFactor)
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

// checkAlerts is about SendGrid, and what becomes of alerts there.
func (c *Config) checkAlerts(p Process, fault fault) {
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
	// The api sends letters too, where it is told how; without, nobody can ask for a
	// new password by themselves.
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

// checkOIDC wants all of an identity provider or nothing, and nothing that is secret
// to go there in the open.
func (c *Config) checkOIDC(fault fault) {
	if c.OIDCIssuer == "" && c.OIDCClientID == "" && c.OIDCClientSecret == "" {
		return
	}
	for _, s := range []struct{ name, value string }{{"OIDC_ISSUER", c.OIDCIssuer}, {"OIDC_CLIENT_ID", c.OIDCClientID}, {"OIDC_CLIENT_SECRET", c.OIDCClientSecret}} {
		if s.value == "" {
			fault("%s must be set where another OIDC_… is", s.name)
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

// LogValue gives the settings with secrets masked, for the line that every
// process prints at its start.
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
