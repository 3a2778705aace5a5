package deploy

import (
	"cmp"
	"flag"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	diff "github.com/google/go-cmp/cmp"

	"postern/internal/config"
)

var update = flag.Bool("update", false, "write nats-users.conf again")

// filled returns env.example with every empty value filled in, as its first lines say.
func filled(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("env.example")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	env, err := dotenv.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range env {
		env[name] = cmp.Or(value, "p0123456789abcdef"+strings.ToLower(strings.ReplaceAll(name, "_", "")))
	}
	return env
}

// project returns docker-compose.yml as Compose reads it, with the given files as overrides.
func project(t *testing.T, over ...string) *types.Project {
	t.Helper()
	files := []types.ConfigFile{{Filename: "../docker-compose.yml"}}
	for _, name := range over {
		files = append(files, types.ConfigFile{Filename: name})
	}
	env := filled(t)
	env["CONTENT_URL"], env["CONTENT_CREDENTIALS_FILE"] = "s3://clinic-content", "content.credentials"
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "..",
		ConfigFiles: files,
		Environment: env,
	}, func(o *loader.Options) { o.SetProjectName("postern", true) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ours maps the services that run a process of ours to that process.
var ours = map[string]config.Process{
	"api": config.API, "fanout-worker": config.Fanout, "notify-worker": config.Notify, "recorder": config.Recorder,
}

func TestServices(t *testing.T) {
	p := project(t)
	want := []string{"api", "certificates", "fanout-worker", "migrate", "nats", "notify-worker", "postgres", "recorder"}
	if d := diff.Diff(want, p.ServiceNames()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for name, s := range p.Services {
		if s.HealthCheck == nil && name != "migrate" && name != "certificates" {
			t.Errorf("%s has no health check", name)
		}
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not contained: it must be read-only, without capabilities and without new privileges", name)
		}
		if s.Build == nil && !regexp.MustCompile(`:\d+\.\d+`).MatchString(s.Image) {
			t.Errorf("%s runs the image %s, whose version is not fixed", name, s.Image)
		}
		for _, port := range s.Ports {
			if name != "api" || port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s:%s", name, port.HostIP, port.Published)
			}
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil {
				t.Errorf("%s mounts a path that does not exist: %v", name, err)
			}
		}
	}
}

// Every container of ours runs an existing command, with settings that its process
// knows and accepts.
func TestSettings(t *testing.T) {
	p := project(t)
	known := config.Names()
	for name, process := range ours {
		s := p.Services[name]
		if len(s.Command) != 1 || s.Command[0] != "/bin/"+name {
			t.Errorf("%s runs %v", name, s.Command)
		}
		if _, err := os.Stat(filepath.Join("../cmd", name, "main.go")); err != nil {
			t.Error(err)
		}
		var environ []string
		for variable, value := range s.Environment {
			if !slices.Contains(known, variable) && variable != credentialsFile {
				t.Errorf("%s is given %s, which no process knows", name, variable)
			}
			if config.InFile("SENDGRID_API_KEY") == variable || config.InFile("OIDC_CLIENT_SECRET") == variable {
				value = secretFile(t, *value)
			}
			environ = append(environ, variable+"="+*value)
		}
		c, err := config.Load(process, nil, environ, io.Discard)
		if err != nil {
			t.Errorf("%s refuses its settings:\n%v", name, err)
			continue
		}
		if user := userOf(t, c.NATSURL); user != name {
			t.Errorf("%s signs in to NATS as %s", name, user)
		}
		if user := userOf(t, c.DatabaseURL); user != strings.ReplaceAll(name, "-", "_") {
			t.Errorf("%s signs in to Postgres as %s", name, user)
		}
		_, port, _ := net.SplitHostPort(c.MetricsAddr)
		if test := s.HealthCheck.Test; !slices.Contains(test, "http://127.0.0.1:"+port+"/readyz") {
			t.Errorf("%s answers operators at %q and has the health check %v", name, c.MetricsAddr, test)
		}
		if (c.ListenAddr != "") != (name == "api") {
			t.Errorf("%s listens at %q", name, c.ListenAddr)
		}
	}
}

// secretFile returns a file in place of that of a container. The clinic has no identity provider.
func secretFile(t *testing.T, inContainer string) *string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	value := map[string]string{"/run/secrets/sendgrid_api_key": "SG.test\n", "/run/secrets/oidc_client_secret": read(t, "no-secret")}[inContainer]
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	return &path
}

// credentialsFile is the variable that names the AWS SDK's file of credentials.
const credentialsFile = "AWS_SHARED_CREDENTIALS_FILE"

// Every connection to a store is encrypted and checked, and each key goes only to its server.
func TestEncryption(t *testing.T) {
	p := project(t)
	for _, name := range append(slices.Collect(maps.Keys(ours)), "migrate") {
		s := p.Services[name]
		u, err := url.Parse(*s.Environment["DATABASE_URL"])
		if err != nil {
			t.Fatal(err)
		}
		authority := u.Query().Get("sslrootcert")
		if u.Query().Get("sslmode") != "verify-full" || authority == "" || *s.Environment["NATS_CA_FILE"] != authority {
			t.Errorf("%s connects to Postgres with %s, and to NATS with the authority %s", name, u.RawQuery, *s.Environment["NATS_CA_FILE"])
		}
		if !mounts(s, "authority", filepath.Dir(authority)) {
			t.Errorf("%s has no %s", name, authority)
		}
	}
	for name, s := range p.Services {
		for _, server := range []string{"nats", "postgres"} {
			if has := mounts(s, server+"-certificate", ""); has != (name == server || name == "certificates") {
				t.Errorf("%s has the key of %s: %t", name, server, has)
			}
		}
		if needs, ok := s.DependsOn["certificates"]; name != "certificates" && (!ok || needs.Condition != types.ServiceConditionCompletedSuccessfully) {
			t.Errorf("%s does not wait for the certificates", name)
		}
	}
}

// mounts reports whether a service has a volume, at a path unless that is "".
func mounts(s types.ServiceConfig, volume, path string) bool {
	return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Source == volume && (path == "" || v.Target == path)
	})
}

// Each secret goes only to the processes that need it: the archive's credentials and the
// signing key to the recorder, the content's to the two processes that handle content.
func TestSecrets(t *testing.T) {
	for _, c := range []struct {
		over []string
		want map[string][]string
	}{
		{nil, map[string][]string{"api": {"content_key", "oidc_client_secret", "sendgrid_api_key"}, "fanout-worker": {"content_key"},
			"notify-worker": {"sendgrid_api_key"}, "recorder": {"archive_credentials", "checkpoint_key"}}},
		{[]string{"content-s3.yml"}, map[string][]string{"api": {"content_credentials", "content_key", "oidc_client_secret", "sendgrid_api_key"}, "fanout-worker": {"content_credentials", "content_key"},
			"notify-worker": {"sendgrid_api_key"},
			"recorder":      {"archive_credentials", "checkpoint_key"}}},
	} {
		got := map[string][]string{}
		for name, s := range project(t, c.over...).Services {
			for _, secret := range s.Secrets {
				got[name] = append(got[name], secret.Source)
			}
			slices.Sort(got[name])
			file, given := s.Environment[credentialsFile]
			if at := slices.IndexFunc(got[name], func(s string) bool { return strings.HasSuffix(s, "_credentials") }); given != (at >= 0) ||
				given && *file != "/run/secrets/"+got[name][at] {
				t.Errorf("%s reads its credentials from %v and holds %v", name, file, got[name])
			}
			if _, reaches := s.Networks["outside"]; given && !reaches {
				t.Errorf("%s can't reach the bucket that it has credentials for", name)
			}
			for variable := range s.Environment {
				if strings.HasPrefix(variable, "AWS_") && variable != credentialsFile {
					t.Errorf("%s is given %s in its environment", name, variable)
				}
			}
		}
		if d := diff.Diff(c.want, got); d != "" {
			t.Errorf("with %v (-want +got):\n%s", c.over, d)
		}
	}
	if _, err := os.Stat("no-credentials"); err != nil {
		t.Error(err)
	}
}

// A missing value in .env stops Compose before any container runs.
func TestEveryGapIsNoticed(t *testing.T) {
	for name, value := range filled(t) {
		gap := filled(t)
		delete(gap, name)
		_, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
			WorkingDir:  "..",
			ConfigFiles: []types.ConfigFile{{Filename: "../docker-compose.yml"}},
			Environment: gap,
		}, func(o *loader.Options) { o.SetProjectName("postern", true) })
		if err == nil && name != "CONTENT_KEY_FILE" && name != "CHECKPOINT_KEY_FILE" { // these have a default
			t.Errorf("Compose accepts an .env without %s (%s)", name, value)
		}
	}
}

// The images have the versions that the code was written and measured against, and run
// as an unprivileged user.
func TestVersions(t *testing.T) {
	mod := read(t, "../go.mod")
	goVersion := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(mod)[1]
	natsVersion := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindStringSubmatch(mod)[1]
	dockerfile := read(t, "../Dockerfile")
	if !strings.Contains(dockerfile, "FROM golang:"+goVersion+"-alpine") {
		t.Errorf("the Dockerfile does not build with Go %s", goVersion)
	}
	if got := project(t).Services["nats"].Image; got != "nats:"+natsVersion+"-alpine" {
		t.Errorf("NATS is the image %s, and version %s in go.mod", got, natsVersion)
	}
	if !regexp.MustCompile(`(?m)^USER [1-9]\d*:[1-9]\d*$`).MatchString(dockerfile) {
		t.Error("the Dockerfile's image runs as root")
	}
	commands, err := filepath.Glob("../cmd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if !strings.Contains(dockerfile, "/out/"+filepath.Base(c)+" ") {
			t.Errorf("the image lacks %s", filepath.Base(c))
		}
	}
	ignored := strings.Fields(read(t, "../.dockerignore"))
	for _, secret := range []string{".env", "*.key", "data"} {
		if !slices.Contains(ignored, secret) {
			t.Errorf("%s would be sent to the builder", secret)
		}
	}
}

func userOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); password == "" {
		t.Errorf("%s signs in without a password", u.User.Username())
	}
	return u.User.Username()
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
