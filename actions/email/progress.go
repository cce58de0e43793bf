package email

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// progress is who of a delivery's recipients is settled. It is stored as the delivery's state.
type progress struct {
	Done    []string          `json:"done,omitempty"`
	Refused map[string]string `json:"refused,omitempty"` // and what the server said
}

// readProgress reads the state of the attempt before. On a replay of a dead letter, which starts anew at attempt 1 or finds all
// settled, those who were refused are tried again, and nobody else.
func readProgress(state []byte, attempt int, recipients []string) (*progress, error) {
	p := &progress{}
	if len(state) > 0 {
		if err := json.Unmarshal(state, p); err != nil {
			return nil, fmt.Errorf("the note of who has had the mail can't be read: %w", err)
		}
	}
	if attempt <= 1 || len(p.pending(recipients)) == 0 {
		p.Refused = nil
	}
	return p, nil
}

func (p *progress) state() []byte {
	data, err := json.Marshal(p)
	if err != nil {
		return nil // strings always marshal
	}
	return data
}

func (p *progress) isDone(recipient string) bool { return slices.Contains(p.Done, recipient) }

func (p *progress) refuse(recipient, reply string) {
	if p.Refused == nil {
		p.Refused = map[string]string{}
	}
	p.Refused[recipient] = reply
}

// pending gives the recipients that are not settled.
func (p *progress) pending(recipients []string) []string {
	return slices.DeleteFunc(slices.Clone(recipients), func(r string) bool {
		_, refused := p.Refused[r]
		return refused || p.isDone(r)
	})
}

// missing says who has not had the mail, and why.
func (p *progress) missing(recipients []string, why map[string]string) string {
	var out []string
	for _, r := range recipients {
		if p.isDone(r) {
			continue
		}
		reason := p.Refused[r]
		if reason == "" {
			reason = why[r]
		}
		if reason == "" {
			reason = "not tried"
		}
		out = append(out, fmt.Sprintf("%s (%s)", r, reason))
	}
	return strings.Join(out, ", ")
}
