package callback

import "fmt"

// Outcome is how a request ended, in a word fit for a metric's label.
type Outcome string

// The outcomes. All but OK, Empty and Ignored are refusals.
const (
	OK               Outcome = "ok"                 // stored, or seen before
	Empty            Outcome = "empty"              // a packet without pairs
	Ignored          Outcome = "ignored"            // another command
	NotFound         Outcome = "not_found"          // another path
	MethodNotAllowed Outcome = "method_not_allowed" // not POST
	Forbidden        Outcome = "forbidden"          // SdkAppid
	Unauthorized     Outcome = "unauthorized"       // Sign or RequestTime
	TooLarge         Outcome = "too_large"          // the body
	Incomplete       Outcome = "incomplete"         // the body did not arrive whole
	BadRequest       Outcome = "bad_request"        // authentic, but no friend-delete packet
	Unavailable      Outcome = "unavailable"        // could not be stored
	Unanswered       Outcome = "unanswered"         // could not be stored, and left without an answer so that it is sent again
)

// Outcomes lists them all, so that counters can start at zero.
func Outcomes() []Outcome {
	return []Outcome{OK, Empty, Ignored, NotFound, MethodNotAllowed, Forbidden, Unauthorized, TooLarge, Incomplete, BadRequest,
		Unavailable, Unanswered}
}

// Refused reports whether the request was answered FAIL, or not at all.
func (o Outcome) Refused() bool { return o != OK && o != Empty && o != Ignored }

// Error says why a request gave no callback, and how to answer it.
type Error struct {
	Status  int     // of the answer; 200 where the outcome is Ignored
	Outcome Outcome // never OK or Empty
	Text    string  // ErrorInfo of the answer: it may be shown to anyone
	Err     error   // a *PacketError where the outcome is BadRequest, what went wrong in reading where it is Incomplete
}

func (e *Error) Error() string {
	if e.Outcome == Incomplete && e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// PacketError is the first thing wrong with a packet, and its place.
type PacketError struct {
	Offset  int    // bytes from the start of the body
	Path    string // such as PairList[3].To_Account; "" for the packet itself
	Problem string

	inURL bool // the place is a parameter of the URL
}

func (e *PacketError) Error() string {
	switch {
	case e.inURL:
		return e.Path + " " + e.Problem
	case e.Path == "":
		return fmt.Sprintf("the packet (at byte %d) %s", e.Offset, e.Problem)
	}
	return fmt.Sprintf("%s (at byte %d) %s", e.Path, e.Offset, e.Problem)
}
