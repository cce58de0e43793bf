package cmd

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/time/rate"
)

// tally counts what posts came to.
type tally struct {
	ok, refused, failed int
	reasons             map[string]int // why posts were not OK
	took                []time.Duration
}

// maxReasons bounds how many reasons are told apart; each answer may be another.
const maxReasons = 20

func (t *tally) add(a *answer, err error) {
	var reason string
	switch {
	case err != nil:
		t.failed++
		reason = err.Error()
	case a.ok():
		t.ok++
	default:
		t.refused++
		reason = fmt.Sprintf("%s: %.200q", a.line, a.body)
	}
	if a != nil {
		t.took = append(t.took, a.took)
	}
	if reason != "" {
		t.because(reason, 1)
	}
}

func (t *tally) because(reason string, n int) {
	if _, ok := t.reasons[reason]; !ok && len(t.reasons) >= maxReasons {
		reason = "other reasons"
	}
	t.reasons[reason] += n
}

func (t *tally) merge(o *tally) {
	t.ok += o.ok
	t.refused += o.refused
	t.failed += o.failed
	t.took = append(t.took, o.took...)
	for reason, n := range o.reasons {
		t.because(reason, n)
	}
}

// load posts the packet count times and prints how that went.
func (p *poster) load(cmd *cobra.Command, o *sendOptions) error {
	limit := rate.Inf
	if o.rate > 0 {
		limit = rate.Limit(o.rate)
	}
	limiter := rate.NewLimiter(limit, 1)
	bar := progress(cmd.ErrOrStderr(), o.count)
	start := time.Now()
	tallies := make([]tally, min(o.concurrency, o.count))
	todo := make(chan struct{})
	var wg sync.WaitGroup
	for i := range tallies {
		t := &tallies[i]
		t.reasons = map[string]int{}
		wg.Go(func() {
			for range todo {
				t.add(p.post(cmd.Context()))
				bar()
			}
		})
	}
	for range o.count {
		if limiter.Wait(cmd.Context()) != nil {
			break // interrupted: say how far it came
		}
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	elapsed := time.Since(start)
	total := tally{reasons: map[string]int{}}
	for i := range tallies {
		total.merge(&tallies[i])
	}
	return total.report(cmd, o.count, elapsed)
}

// progress gives a function to call after every post: it draws a bar on a terminal, and nothing elsewhere.
func progress(w io.Writer, count int) func() {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	bar := progressbar.NewOptions64(int64(count), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("posts"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	return func() { _ = bar.Add(1) } // a bar that cannot be drawn is no reason to stop
}

// report prints the table, and the reasons of what was not OK.
func (t *tally) report(cmd *cobra.Command, count int, elapsed time.Duration) error {
	reasons := slices.SortedFunc(maps.Keys(t.reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.reasons[b], t.reasons[a]), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d× %s\n", t.reasons[reason], reason)
	}
	posts := t.ok + t.refused + t.failed
	slices.Sort(t.took)
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "posts\tOK\trefused\tfailed\tper second\tp50\tp90\tp99\tmax\t")
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%.1f\t%s\t%s\t%s\t%s\t\n", posts, t.ok, t.refused, t.failed, float64(posts)/elapsed.Seconds(),
		t.quantile(0.5), t.quantile(0.9), t.quantile(0.99), t.quantile(1))
	if err := w.Flush(); err != nil {
		return err
	}
	if t.ok < count {
		return &exitError{code: exitFailure}
	}
	return nil
}

// quantile gives the time within which the part q of the answers came; took is sorted.
func (t *tally) quantile(q float64) string {
	if len(t.took) == 0 {
		return "-"
	}
	i := int(math.Ceil(q*float64(len(t.took)))) - 1
	return fmt.Sprintf("%.2fms", float64(t.took[max(i, 0)].Microseconds())/1000)
}
