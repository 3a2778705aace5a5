package deploy

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/config"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// runRoles runs roles.sql as the Postgres image does.
func runRoles(t *testing.T, databaseURL string) {
	t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Fatalf("%v: install PostgreSQL's command line, postgresql-client", err)
	}
	cmd := exec.Command(psql, "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-f", "roles.sql", databaseURL)
	cmd.Env = os.Environ()
	for name, value := range filled(t) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The users that docker-compose.yml names can take on their own process's role,
// and no other, and have no rights without it.
func TestRoles(t *testing.T) {
	database := storetest.New(t)
	runRoles(t, database)
	runRoles(t, database) // again changes nothing
	roles := map[config.Process]store.Role{config.API: store.RoleAPI, config.Fanout: store.RoleFanout,
		config.Notify: store.RoleNotify, config.Recorder: store.RoleRecorder}
	p := project(t)
	for name, process := range ours {
		address, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		address.User = url.User(userOf(t, *p.Services[name].Environment["DATABASE_URL"]))
		own := storetest.Open(t, address.String(), roles[process])
		if _, err := own.Exec(t.Context(), `SELECT seq FROM record.position`); err != nil {
			t.Errorf("%s may not read the position: %v", name, err)
		}
		if err := store.TryMigrate(t.Context(), address.String(), nil); err != nil {
			t.Errorf("%s does not find the expected schema: %v", name, err)
		}
		for other, role := range roles {
			if _, err := own.Exec(t.Context(), `SET ROLE `+string(role)); err == nil && other != process {
				t.Errorf("%s can take on the role of %s", name, other)
			}
		}
		bare, err := pgxpool.New(t.Context(), address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer bare.Close()
		if _, err := bare.Exec(t.Context(), `SELECT seq FROM record.position`); err == nil {
			t.Errorf("%s has rights without its role", name)
		}
	}
}
