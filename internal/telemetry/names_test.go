package telemetry

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"postern/internal/health"
)

const operating = "../../docs/operating.md"

// names are those of all metrics that a process can tell.
func names() []string {
	t := New()
	t.Watch((health.New(health.Config{})).State)
	t.WatchDisk(func() float64 { return 0 })
	t.WatchArchive(func() time.Duration { return 0 })
	t.WatchCertificate(time.Now)
	descs, found := make(chan *prometheus.Desc), []string(nil)
	go func() { t.registry.Describe(descs); close(descs) }()
	for d := range descs {
		name := regexp.MustCompile(`fqName: "(postern_\w+)"`).FindStringSubmatch(d.String())
		if name != nil {
			found = append(found, name[1])
		}
	}
	return found
}

// metricsIn are the metrics that a PromQL expression names, as they are called in
// the code.
func metricsIn(expr string) (found []string) {
	for _, name := range regexp.MustCompile(`postern_\w+`).FindAllString(expr, -1) {
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			name = strings.TrimSuffix(name, suffix)
		}
		found = append(found, name)
	}
	return found
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path) // #nosec G304 -- a file of the repository
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The dashboard shows what there is, and all of it.
func TestTheDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "../../deploy/grafana/postern.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	all, shown := names(), map[string]bool{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			metrics := metricsIn(target.Expr)
			if len(metrics) == 0 {
				t.Errorf("%s shows nothing of ours: %s", p.Title, target.Expr)
			}
			for _, name := range metrics {
				shown[name] = true
				if !slices.Contains(all, name) {
					t.Errorf("%s shows %s, which there is not", p.Title, name)
				}
			}
		}
	}
	for _, name := range all {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// The rules are what Prometheus reads, name metrics that there are, and each is
// explained to whom it wakes.
func TestTheAlertRules(t *testing.T) {
	t.Parallel()
	type rule struct {
		Alert       string            `yaml:"alert"`
		Expr        string            `yaml:"expr"`
		For         string            `yaml:"for"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(read(t, "../../deploy/alerts.yml"))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	all, manual := names(), string(read(t, operating))
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if r.Alert == "" || r.Expr == "" || r.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
				t.Errorf("%+v lacks something", r)
			}
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
			if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") || strings.Count(r.Expr, "{") != strings.Count(r.Expr, "}") {
				t.Errorf("%s: %s", r.Alert, r.Expr)
			}
			for _, name := range metricsIn(r.Expr) {
				if !slices.Contains(all, name) {
					t.Errorf("%s looks at %s, which there is not", r.Alert, name)
				}
			}
			if !strings.Contains(manual, "`"+r.Alert+"`") {
				t.Errorf("docs/operating.md does not say what to do about %s", r.Alert)
			}
		}
	}
}

// The manual says what each metric means.
func TestTheManual(t *testing.T) {
	t.Parallel()
	manual := string(read(t, operating))
	for _, name := range names() {
		if !strings.Contains(manual, "`"+name+"`") {
			t.Errorf("docs/operating.md does not explain %s", name)
		}
	}
}
