package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// logEvery is the least time between two lines of progress in a log.
const logEvery = 10 * time.Second

// bar shows the progress of a long verb on standard error: as a bar on a terminal, and elsewhere,
// as in a log, as a line every ten seconds. A verb that ends earlier logs none.
type bar struct {
	shown  *progressbar.ProgressBar
	doing  string
	out    io.Writer
	onTerm bool
	now    func() time.Time
	logged time.Time // when the last line was written; first the start
}

func (env *environment) progress(doing string) *bar {
	errs, isFile := env.errs.(*os.File)
	onTerm := isFile && term.IsTerminal(int(errs.Fd())) // #nosec G115 -- a descriptor
	return &bar{doing: doing, out: env.errs, onTerm: onTerm, now: time.Now, logged: time.Now()}
}

// to moves the bar. The bar is made when the total is first known.
func (b *bar) to(done, total uint64) { b.move(int64(done), int64(total)) } // #nosec G115 -- sequences

func (b *bar) move(done, total int64) {
	if !b.onTerm {
		b.log(done, total)
		return
	}
	if b.shown == nil {
		b.shown = progressbar.NewOptions64(total, progressbar.OptionSetDescription(b.doing),
			progressbar.OptionSetWriter(b.out), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
	}
	_ = b.shown.Set64(done)
}

func (b *bar) log(done, total int64) {
	now := b.now()
	if now.Sub(b.logged) < logEvery {
		return
	}
	b.logged = now
	if total > 0 {
		_, _ = fmt.Fprintf(b.out, "%s: %d of %d (%d%%)\n", b.doing, done, total, done*100/total)
		return
	}
	_, _ = fmt.Fprintf(b.out, "%s: %d\n", b.doing, done)
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
