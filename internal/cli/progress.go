package cli

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows the progress of a long verb, on a terminal only.
type bar struct {
	shown *progressbar.ProgressBar
	doing string
	quiet bool
}

func (env *environment) progress(doing string) *bar {
	errs, ok := env.errs.(*os.File)
	return &bar{doing: doing, quiet: env.json || !ok || !term.IsTerminal(int(errs.Fd()))} // #nosec G115 -- a descriptor
}

// to moves the bar. The bar is made when the total is first known.
func (b *bar) to(done, total uint64) { b.move(int64(done), int64(total)) } // #nosec G115 -- sequences

func (b *bar) move(done, total int64) {
	if b.quiet {
		return
	}
	if b.shown == nil {
		b.shown = progressbar.NewOptions64(total, progressbar.OptionSetDescription(b.doing),
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
	}
	_ = b.shown.Set64(done)
}

// at shows how many there are so far, of an unknown total, in a part of the verb.
func (b *bar) at(part string, done int64) {
	if b.doing != part {
		b.finish()
		b.shown, b.doing = nil, part
	}
	b.move(done, -1)
}

func (b *bar) finish() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}
