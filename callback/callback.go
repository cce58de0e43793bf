// Package callback speaks the callback protocol of Tencent Cloud Chat: it verifies a request, decodes the packet of a
// deleted friend, and gives the answer that Chat waits for. It knows nothing of rules or actions and is usable alone.
//
// The protocol's pages: "After a Friend Is Deleted", "Webhook Overview" and "Webhook Configuration" in the vendor's
// documentation of Chat's callbacks.
package callback

import "time"

// Command is the CallbackCommand of the callback that this package decodes.
const Command = "Sns.CallbackFriendDelete"

// Pair is one deletion that was carried out: From's friend list lost its entry To. Both are the app's account ids,
// byte for byte as they came, and hostile.
type Pair struct {
	From string // From_Account
	To   string // To_Account
}

// Callback is one authentic, well-formed packet.
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

	mutual []bool // by pair; nil until first asked
}
