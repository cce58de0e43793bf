package explain

import (
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// Request is what POST explain takes.
type Request struct {
	Packet Packet    `json:"packet"`
	Query  Query     `json:"query"`
	At     time.Time `json:"at"`   // when it arrives; zero: now
	Rule   string    `json:"rule"` // the one rule to explain; "" for all
}

// Callback reads the packet as strictly as when it comes in.
func (r *Request) Callback() (*callback.Callback, error) {
	if r.Packet == nil {
		return nil, errors.New("packet is missing: send {packet, query}")
	}
	at := r.At
	if at.IsZero() {
		at = time.Now()
	}
	return callback.Parse(string(r.Query), r.Packet, at)
}

// Packet is a packet within JSON: as it is, or as a text.
type Packet []byte

// UnmarshalJSON takes both.
func (p *Packet) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		*p = append(Packet{}, b...)
		return nil
	}
	var text string
	err := json.Unmarshal(b, &text)
	*p = Packet(text)
	return err
}

// Query is the query of a callback's URL: a text, or a mapping of parameters.
type Query string

// UnmarshalJSON takes both.
func (q *Query) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var params map[string]json.RawMessage
		if err := json.Unmarshal(b, &params); err != nil {
			return err
		}
		values := url.Values{}
		for name, raw := range params {
			text := string(raw) // a number keeps its digits
			if raw[0] == '"' {
				if err := json.Unmarshal(raw, &text); err != nil {
					return err
				}
			}
			values.Set(name, text)
		}
		*q = Query(values.Encode())
		return nil
	}
	var text string
	err := json.Unmarshal(b, &text)
	*q = Query(text)
	return err
}
