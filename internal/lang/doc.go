// Package lang is the one language of conditions and templates: expr-lang, cut down by an allow-list to a part that can
// exhaust neither memory nor time and gives the same result for the same packet.
//
// # Names
//
//	From_Account To_Account                          string  the pair, byte for byte
//	CallbackCommand ClientIP OptPlatform RequestId   string  "" where absent
//	SdkAppid PairCount PairIndex                     int     pairs in the packet; this one's place, from 0
//	Mutual                                           bool    the packet also has the pair the other way round
//	Time                                             time    when the callback arrived, UTC
//	a list's name                                    set     only right of in and not in
//	Rule.Name Delivery.ID                            string  templates only
//	Delivery.Attempt                                 int     templates only; from 1
//	Rule.Labels                                      map     templates only; Rule.Labels.team or Rule.Labels["team"], "" where absent
//
// # Operators
//
//	== != < > <= >=              between two numbers, two strings or two times; 0 < x < 5 is 0 < x && x < 5
//	&& || ! and or not           between conditions; the right side is not evaluated where the left decides
//	+ - * / % ** ^               numbers; / and powers give a float, and + joins strings
//	x ? a : b                    a and b of one type
//	x in y, x not in y           y is a list or ["a", "b"]
//	contains startsWith endsWith between strings, byte for byte; also with not before
//	matches                      right of it a constant pattern of Go's regexp: linear time
//	s[from:to]                   a part of a string, in bytes; bounds outside it are cut off, negative ones count from the end
//	"…" '…' `…`                  strings; no escapes between backticks, so patterns are best written there
//	// and /* */                 comments
//
// # Functions
//
//	len(s)                       int, in characters
//	lower(s) upper(s)            string
//	trim(s) trim(s, chars)       string, without the white space, or the characters, at both ends
//	trimPrefix(s, p)             string; trimSuffix likewise
//	indexOf(s, t)                int, in bytes from 0, or -1; lastIndexOf likewise
//	int(x) float(x)              of a string or number; an error where it is none. int cuts off what follows the point
//	string(x)                    as a template writes it
//	abs(x) min(x, …) max(x, …)   an int where all arguments are ints, else a float
//	floor(x) ceil(x) round(x)    float
//	cidr(ip, "10.0.0.0/8")       bool; false for no address; an IPv4 address mapped into IPv6 is that IPv4 address
//	sample(s, percent)           bool; the same string always falls the same way; percent is written out, 0 to 100
//	inZone(t, "Asia/Shanghai")   the time there; the zone is written out
//	t.Hour() t.Minute()          int
//	t.Day() t.Month() t.Year()   int; January is 1
//	t.Weekday()                  int; Sunday is 0
//	t.Unix()                     int, seconds
//
// # What goes wrong
//
// When it is compiled: whatever is not listed here, a misspelt name, types that don't fit, a bad pattern, range, zone or
// percentage, a part that can only fail. Each error stands at its byte offset.
//
// When it is evaluated: int or float of what is no number, a division by 0, + beyond MaxText, matches on more than MaxSubject,
// trim of more than MaxTrim characters. A condition that fails is no match.
//
// # How it works
//
// A source text is bounded (MaxSource, MaxLevels) before expr's parser sees it, since that recurses without a limit. The
// allow-list is enforced on the syntax tree, which also is brought into the form that expr's type checker knows.
//
// The checked and optimised tree of a condition becomes a Formula, which an index finds and mostly also evaluates by itself; then
// the tree is let go. The conditions that most rules have are read into the same Formula without a tree (see quick). Where the VM is
// needed, and for templates, a tree is lowered, so that lists, patterns, ranges and zones become calls of closures that expr's VM
// makes without reflection, and is compiled to byte code when it is first needed. Explain goes back to the tree as it was written,
// and runs each part of it by itself.
package lang
