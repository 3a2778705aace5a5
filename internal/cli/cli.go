// Package cli is the command line, with one file for each group of verbs. A verb works on the
// system that DATABASE_URL and NATS_URL name or, without them, on the embedded system of the
// data folder: it connects to a running `postern up`, or starts the stores and stops them
// again. Only `postern up` makes a system.
//
// Exit status: 0 success; 1 the verb failed, or a check found a fault; 2 wrong use.
//
// # Size
//
// All verbs are in one package, because they share the connections, the output and the
// errors; a file has no code for another file's verbs.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/text/zone"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is the error of a wrong use of a verb.
type usageError struct{ error }

// errDoesNotHold ends a verb that has already printed what is wrong.
var errDoesNotHold = errors.New("it does not hold")

// environment has the flags and streams of all verbs.
type environment struct {
	data    string // --data
	json    bool   // --json
	verbose bool
	verb    string // the verb that runs, as "staff list"
	in      io.Reader
	out     io.Writer
	errs    io.Writer
}

// Run runs the verb in args and returns the exit status.
func Run(ctx context.Context, args []string) int {
	return RunWith(ctx, args, os.Stdin, os.Stdout, os.Stderr)
}

// RunWith is [Run] with the given streams instead of those of the process.
func RunWith(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	env := &environment{in: in, out: out, errs: errs}
	return env.run(ctx, args)
}

func (env *environment) run(ctx context.Context, args []string) int {
	root := env.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errDoesNotHold):
		return exitFailed
	case errors.As(err, &usage):
		return env.sayFailure(err, exitUsage, "Run `postern help` for the verbs.\n")
	default:
		return env.sayFailure(err, exitFailed, "")
	}
}

func (env *environment) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "postern",
		Short: "Secure messages from a clinic to its patient portal, with a record that can be proved",
		Long: "Secure messages from a clinic to its patient portal, with a record that can be proved\n\n" +
			"Every setting of the environment is also a flag, which overrides it: DATABASE_URL is --database-url.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return wrongVerb(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			env.verb = strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "postern"), " ")
		},
	}
	root.PersistentFlags().StringVar(&env.data, "data", "./data", "data folder of the embedded system")
	root.PersistentFlags().BoolVar(&env.json, "json", false, "answer in JSON")
	root.PersistentFlags().BoolVarP(&env.verbose, "verbose", "v", false, "log each step")
	for _, name := range config.Names() {
		root.PersistentFlags().Var(setting(name), config.FlagName(name), "overrides "+name)
		if config.IsSwitch(name) {
			root.PersistentFlags().Lookup(config.FlagName(name)).NoOptDefVal = "true"
		}
		_ = root.PersistentFlags().MarkHidden(config.FlagName(name)) // fails only for unknown flags
	}
	root.SetOut(env.out)
	root.SetErr(env.errs)
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(
		env.upCommand(), env.importCommand(), env.staffCommand(), env.tokenCommand(), env.portalUserCommand(),
		env.rebuildCommand(), env.repairCommand(), env.recoverCommand(), env.verifyCommand(), env.receiptCommand(), env.whyCommand(), env.personCommand(), env.healthCommand(),
		env.migrateCommand(), env.keysCommand(), env.recordCommand(), env.alertingCommand(), env.parkedCommand(),
		env.replayCommand(), env.erasureCommand(), env.emergencyCommand(), env.manCommand(),
	)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			asGroup(c)
		}
	}
	addCompletion(root)
	wrapArgs(root)
	return root
}

// setting is a flag that sets a variable of the environment, where every verb and its child
// processes read it.
type setting string

func (s setting) Set(value string) error {
	if s == "TIME_ZONE" {
		_ = zone.Use(value) // main has set that of the environment; verbs refuse a wrong one
	}
	return os.Setenv(string(s), value)
}
func (s setting) String() string { return "" }
func (s setting) Type() string   { return "string" }

// wrapArgs makes errors in the arguments of all verbs usage errors.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

// group returns a command that only has verbs.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(verbs...)
	asGroup(c)
	return c
}

// onlyVerbs is the annotation of a command that does nothing itself.
const onlyVerbs = "verbs"

// asGroup makes a command without a verb, or with one that it does not have, wrong use.
func asGroup(c *cobra.Command) {
	c.Args, c.Annotations = cobra.ArbitraryArgs, map[string]string{onlyVerbs: "true"}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return wrongVerb(cmd, args[0])
		}
		return usageError{fmt.Errorf("%s needs a verb", cmd.CommandPath())}
	}
}

// helpCommand shows the help of a verb. A verb that does not exist is wrong use.
func helpCommand() *cobra.Command {
	return &cobra.Command{Use: "help [VERB]", Short: "Show the help of a verb",
		RunE: func(cmd *cobra.Command, args []string) error {
			found := cmd.Root()
			for _, name := range args {
				next, _, err := found.Find([]string{name})
				if err != nil || next == found {
					return wrongVerb(found, name)
				}
				found = next
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		}}
}

func (env *environment) logger() *slog.Logger {
	level := slog.LevelError
	if env.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(env.errs, &slog.HandlerOptions{Level: level}))
}

// serverLogger is the log of `postern up`, on standard error: warnings and errors, or
// everything with --verbose.
func (env *environment) serverLogger() *slog.Logger {
	level := slog.LevelWarn
	if env.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(env.errs, &slog.HandlerOptions{Level: level}))
}

// operator returns the actor of events by the person who runs the verb: their account on this
// machine.
func operator() string {
	if u, err := user.Current(); err == nil {
		return "operator:" + u.Username
	}
	return "operator:unknown"
}
