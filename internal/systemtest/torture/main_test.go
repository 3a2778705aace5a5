package torture

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"postern/internal/embedded"
	"postern/internal/eventlog"
	"postern/internal/giveup"
	"postern/internal/store/storetest"
)

var (
	long       = flag.Bool("torture.long", false, "kill each kind of process 20 times in blasts of 20,000")
	seedFlag   = flag.Uint64("torture.seed", 0, "seed from which the moments are drawn; 0: from the clock")
	killsFlag  = flag.Int("torture.kills", 0, "kills of each kind; 0: 1, and 20 in the long form")
	peopleFlag = flag.Int("torture.recipients", 0, "portal users; 0: 3,000, and 20,000 in the long form")
)

// The test binary also runs as the NATS server and the watchdog of its tests, in
// separate processes that can be killed.
const roleVariable = "TORTURE_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "watchdog":
		watch(os.Stdin)
	case "nats":
		if err := serveNATS(os.Getenv("TORTURE_FOLDER"), os.Getenv("TORTURE_LISTEN")); err != nil {
			fmt.Fprintln(os.Stderr, "nats:", err)
			os.Exit(1)
		}
	default:
		flag.Parse()
		// The tests wait for processes far more than they compute.
		if err := flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0)))); err != nil {
			panic(err) // package testing has that flag
		}
		// A crossing takes seconds, so only a few are drawn unless the flag is set.
		asked := false
		flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
		if checks := map[bool]string{false: "5", true: "200"}[*long]; !asked {
			if err := flag.Set("rapid.checks", checks); err != nil {
				panic(err) // rapid has that flag
			}
		}
		storetest.Main(m)
	}
}

// password is the password of every user of the NATS server under test.
const password = "torture"

// serveNATS runs a server with a user for each process, until SIGINT or SIGTERM.
func serveNATS(folder, listen string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var users []embedded.User
	for _, name := range eventlog.Processes() {
		p := eventlog.PermissionsOf(name)
		users = append(users, embedded.User{Name: name, Password: password, Publish: p.Publish, Subscribe: p.Subscribe})
	}
	server, err := embedded.StartNATS(ctx, embedded.NATSConfig{StoreDir: folder, Listen: listen, Users: users})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return server.Shutdown()
}

// eventually polls until reached returns true: there is no other way to learn the
// progress of other processes. After [giveup.After] the test fails with the state.
func eventually(t testing.TB, every time.Duration, what string, state func() string, reached func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !reached(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not after %s. %s", what, giveup.After, state())
		}
	}
}
