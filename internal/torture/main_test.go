package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// built is the program, built once for the whole package.
var built program.Program

var (
	roundsFlag = flag.Int("torture.rounds", 0, "how often what a test does is done; 0 for a short run")
	forFlag    = flag.Duration("torture.for", 0, "how long a test goes on that goes by time; 0 for a short run")
	seedFlag   = flag.Uint64("torture.seed", 0, "what random faults come from; 0 for another each time, and always the same in a short run")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if program.Race && *roundsFlag == 0 && *forFlag == 0 {
		fmt.Println("not tortured under the race detector, which the end-to-end tests run under too: -torture.rounds or -torture.for does it")
		return
	}
	os.Exit(program.Main(m, &built))
}

// besides lets a short run go on with other tests beside this one: it waits more than it works, and none of what it wants hangs on the time. A
// long run has the machine for itself.
func besides(t *testing.T) {
	if *roundsFlag == 0 && *forFlag == 0 {
		t.Parallel()
	}
}

// mayRefuse is how many callbacks may be refused that come over so many connections. In a short run other tests have the same disk: where that
// stands still for longer than a callback may wait, one on each connection is.
func mayRefuse(connections int) int {
	if *roundsFlag == 0 && *forFlag == 0 {
		return connections
	}
	return 0
}

// rounds is how many rounds a test has that has short of them in CI.
func rounds(short int) int {
	if *roundsFlag > 0 {
		return *roundsFlag
	}
	return short
}

// seed is what a test's random faults come from.
func seed() uint64 {
	switch {
	case *seedFlag > 0:
		return *seedFlag
	case *roundsFlag > 0:
		return rand.Uint64()
	}
	return 1
}

// duration is how long a test goes on that takes short in CI.
func duration(short time.Duration) time.Duration {
	if *forFlag > 0 {
		return *forFlag
	}
	return short
}

// newFolder makes a folder with a configuration, to which more is added at the top level, and rules where there are any.
func newFolder(t testing.TB, rules, more string) string {
	t.Helper()
	dir := t.TempDir()
	program.Write(t, dir, "aftermath.yaml", program.Config("log: {level: warn}\n"+more))
	if rules != "" {
		program.Write(t, dir, "rules/all.yaml", rules)
	}
	return dir
}

// logFile is where the rules of allRules log, in the test's folder.
const logFile = "seen.jsonl"

// allRules sends every pair to a webhook receiver and to logFile.
func allRules(url string) string {
	return `
rules:
  - name: all
    condition: PairCount > 0
    actions:
      - {type: webhook, name: hook, url: ` + url + `}
      - {type: log, message: "{{ From_Account }}", fields: {id: "{{ Delivery.ID }}"}, file: ` + logFile + `, max_size: 1GiB}
`
}
