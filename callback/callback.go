package callback

import (
	"net/http"
	"sync"
	"time"
	"unsafe"
)

// Command is the CallbackCommand of the callback that this package decodes.
const Command = "Sns.CallbackFriendDelete"

// Pair is one deletion that was carried out: From's friend list lost its entry To. Both are the app's account ids,
// byte for byte as they came, and hostile.
type Pair struct {
	From string // From_Account
	To   string // To_Account
}

// Callback is one authentic, well-formed packet. Its strings share the memory of Query and Body, so neither may be changed.
// It is safe for concurrent use, and must not be copied.
type Callback struct {
	SdkAppid        int64
	CallbackCommand string // from the URL, or from the body where the URL has none
	ClientIP        string // "" where absent
	OptPlatform     string // "" where absent
	RequestId       string // "" where absent
	Pairs           []Pair // in the packet's order; never with an empty account
	Query           string // the URL's query as it came
	Body            []byte // the packet as it came
	Received        time.Time

	few    [4]Pair // where the pairs of a usual packet lie, without an allocation of their own
	once   sync.Once
	mutual []bool // by pair, for packets of many pairs
}

// Parse reads a callback that was stored as it came, as strictly as it was read then, but without asking who sent it or when.
// It keeps body. The error is an [*Error], of the outcome [Ignored] where the callback is of another command.
func Parse(query string, body []byte, received time.Time) (*Callback, error) {
	c := new(Callback)
	if err := c.Reparse(query, body, received); err != nil {
		return nil, err
	}
	return c, nil
}

// Reparse is Parse into the memory of a callback that nobody uses any more; after an error it is none.
func (c *Callback) Reparse(query string, body []byte, received time.Time) error {
	q := parseQuery(query)
	if err := q.foreign(); err != nil {
		return err
	}
	if err := q.packet(c, body, received); err != nil {
		return err
	}
	return nil
}

// SoundPairs gives the pairs of a refused packet that are whole and unambiguous: those before the place where its JSON breaks,
// without the ones that have something wrong in themselves. It gives none where the packet says that it is of another command.
func SoundPairs(body []byte) []Pair {
	d := decoder{s: text(body), index: noIndex}
	d.packet()
	if d.hasCommand && d.command != Command {
		return nil
	}
	return d.pairs
}

// packet decodes the body of a request whose query is q into c.
func (q *query) packet(c *Callback, body []byte, received time.Time) *Error {
	if q.command.mixed {
		return badPacket(&PacketError{Path: "CallbackCommand", Problem: "stands more than once in the URL, with different values", inURL: true})
	}
	*c = Callback{
		ClientIP:    q.clientIP.text(),
		OptPlatform: q.optPlatform.text(),
		RequestId:   q.requestID.text(),
		Query:       q.raw,
		Body:        body,
		Received:    received,
	}
	c.SdkAppid, _ = q.sdkAppid.number()
	d := decoder{s: text(body), index: noIndex, pairs: c.few[:0]}
	d.packet()
	if err := d.verdict(q.command.last); err != nil {
		return err
	}
	c.CallbackCommand = Command
	c.Pairs = d.pairs
	return nil
}

// verdict says whether what was decoded is a friend-delete packet. command is the URL's, or "".
func (d *decoder) verdict(command string) *Error {
	if command == "" && !d.unsound && d.hasCommand && d.command != Command && d.command != "" {
		return ignored()
	}
	if d.problem == nil {
		switch {
		case !d.hasCommand && command == "":
			d.problem = &PacketError{Path: "CallbackCommand", Problem: "is missing, here and in the URL"}
		case d.hasCommand && d.command != Command:
			d.problem = &PacketError{Path: "CallbackCommand", Offset: d.commandAt, Problem: "is not " + Command}
		case !d.hasPairs:
			d.problem = &PacketError{Path: "PairList", Problem: "is missing"}
		}
	}
	if d.problem == nil {
		return nil
	}
	return badPacket(d.problem)
}

func badPacket(p *PacketError) *Error {
	return &Error{Status: http.StatusBadRequest, Outcome: BadRequest, Text: p.Error(), Err: p}
}

// text gives b as a string without a copy; b must not change from then on. A packet is read once and never written to, and each
// account id in it would else be copied for nothing.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// manyPairs is from how many pairs on Mutual looks them up in a map instead of comparing them all.
const manyPairs = 16

// Mutual reports whether the packet also has pair i the other way round. A pair of an account with itself is never mutual.
// Asking for every pair takes time linear in their number.
func (c *Callback) Mutual(i int) bool {
	if len(c.Pairs) >= manyPairs {
		c.once.Do(c.findMutual)
		return c.mutual[i]
	}
	p := c.Pairs[i]
	if p.From == p.To {
		return false
	}
	for _, other := range c.Pairs {
		if other.From == p.To && other.To == p.From {
			return true
		}
	}
	return false
}

func (c *Callback) findMutual() {
	there := make(map[Pair]struct{}, len(c.Pairs))
	for _, p := range c.Pairs {
		there[p] = struct{}{}
	}
	c.mutual = make([]bool, len(c.Pairs))
	for i, p := range c.Pairs {
		if p.From != p.To {
			_, c.mutual[i] = there[Pair{From: p.To, To: p.From}]
		}
	}
}
