package lang

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"

	"github.com/aftermath-rules/aftermath/callback"
)

// The bounds that keep any source text from exhausting memory or time.
const (
	MaxSource      = 4 << 10  // bytes of one condition or of one expression of a template
	MaxLevels      = 64       // brackets, prefix operators, ternaries and powers inside each other
	MaxTemplate    = 64 << 10 // bytes of a whole template
	MaxExpressions = 256      // expressions in one template
	MaxText        = 1 << 20  // bytes of a string that + makes; longer is a run-time error
	MaxSubject     = 16 << 10 // bytes of a string that matches looks at; longer is a run-time error
	MaxTrim        = 256      // bytes of the characters that trim cuts off; longer is a run-time error
	MaxPattern     = 5000     // instructions of all patterns of one condition, compiled
)

// Error is one thing that is wrong with a source text.
type Error struct {
	Offset  int // in bytes, from 0, into the source (of a template: into the whole template)
	Message string
}

func (e *Error) Error() string { return e.Message }

// Vars are the values of the language's names for one pair. Rule and Delivery are for templates only.
type Vars struct {
	Pair            callback.Pair
	CallbackCommand string
	ClientIP        string
	OptPlatform     string
	RequestId       string
	SdkAppid        int64
	PairCount       int
	PairIndex       int
	Mutual          bool
	Time            time.Time // UTC

	RuleName        string
	RuleLabels      map[string]string
	DeliveryID      string
	DeliveryAttempt int
}

// Scope is what a source text may name beside the language's own names: the lists. It must not change once something was
// compiled with it; what is shared by all that is compiled in one scope is made once.
type Scope struct {
	Lists map[string]*List

	mu        sync.Mutex // held while compiling: the type checker's cache is not safe for concurrent use
	envs      sync.Pool  // of *Env, for conditions
	condition *conf.Config
	template  *conf.Config
}

var listName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Words are the words of the language that look like the name of a list, and are none.
func Words() []string {
	words := slices.Collect(maps.Keys(builtin.Index))
	words = slices.AppendSeq(words, maps.Keys(keywords))
	words = slices.AppendSeq(words, maps.Keys(functions))
	slices.Sort(words)
	return slices.DeleteFunc(slices.Compact(words), func(w string) bool { return !listName.MatchString(w) })
}

func isWord(name string) bool {
	_, isBuiltin := builtin.Index[name]
	return isBuiltin || keywords[name] || functions[name]
}

// ValidListName tells why a list cannot have the name: it must match [a-z][a-z0-9_]* and be no word of the language.
func ValidListName(name string) error {
	if !listName.MatchString(name) {
		return fmt.Errorf("list name %q: use small letters, digits and _, beginning with a letter", name)
	}
	if isWord(name) {
		return fmt.Errorf("list name %q is a word of the language; choose another", name)
	}
	return nil
}
