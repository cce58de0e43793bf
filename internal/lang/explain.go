package lang

// Part is one part of a condition and what it came to.
type Part struct {
	Source  string `json:"source"`
	Value   any    `json:"value"`             // nil where it was not reached or failed
	Error   string `json:"error,omitempty"`   // why it failed
	Depth   int    `json:"depth"`             // in the tree, the whole condition at 0
	Decided bool   `json:"decided,omitempty"` // this part decided its parent
}

// Explain evaluates the condition part by part, the whole first, then depth first in source order.
func (c *Condition) Explain(v *Vars) []Part {
	matched, err := c.Match(v)
	if err != nil {
		return []Part{{Source: c.source, Error: err.Error()}}
	}
	return []Part{{Source: c.source, Value: matched}}
}
