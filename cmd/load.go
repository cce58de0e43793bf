package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/internal/load"
)

// tally counts what posts came to.
type tally struct {
	ok, refused, failed int
	reasons             map[string]int // why posts were not OK
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

// load posts the packet count times and prints how that went.
func (p *poster) load(cmd *cobra.Command, o *sendOptions) error {
	ctx, stop := untilInterrupted(cmd.Context())
	defer stop()
	bar := progress(cmd.ErrOrStderr(), o.count)
	start := time.Now()
	total := tally{reasons: map[string]int{}}
	var mu sync.Mutex
	plan := load.Plan{Rate: o.rate, Concurrency: min(o.concurrency, o.count), Count: o.count}
	times := plan.Run(ctx, func(ctx context.Context, _ int) {
		a, err := p.post(ctx)
		mu.Lock()
		total.add(a, err)
		mu.Unlock()
		bar()
	})
	return total.report(cmd, o.count, time.Since(start), times)
}

// progress gives a function to call after every post: it draws a bar on a terminal, and nothing elsewhere.
func progress(w io.Writer, count int) func() {
	if !toTerminal(w) {
		return func() {}
	}
	bar := progressbar.NewOptions64(int64(count), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("posts"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	return func() { _ = bar.Add(1) } // a bar that cannot be drawn is no reason to stop
}

// report prints the table, and the reasons of what was not OK.
func (t *tally) report(cmd *cobra.Command, count int, elapsed time.Duration, times *load.Histogram) error {
	reasons := slices.SortedFunc(maps.Keys(t.reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.reasons[b], t.reasons[a]), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d× %s\n", t.reasons[reason], reason)
	}
	posts := t.ok + t.refused + t.failed
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "posts\tOK\trefused\tfailed\tper second\tp50\tp90\tp99\tmax\t")
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%.1f\t%s\t%s\t%s\t%s\t\n", posts, t.ok, t.refused, t.failed, float64(posts)/elapsed.Seconds(),
		quantile(times, 0.5), quantile(times, 0.9), quantile(times, 0.99), quantile(times, 1))
	if err := w.Flush(); err != nil {
		return err
	}
	if t.ok < count {
		return &exitError{code: exitFailure}
	}
	return nil
}

// quantile gives the time within which the part q of the posts were answered, or failed.
func quantile(times *load.Histogram, q float64) string {
	if times.Count() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fms", float64(times.Quantile(q).Microseconds())/1000)
}
