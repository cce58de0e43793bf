package engine

// Unmatched says that the rules made nothing of some callbacks of one pack: no match, no error. Most callbacks are such, so that those
// of a pack are recorded together.
type Unmatched struct {
	Seq     uint64   `json:"seq"`   // the pack's
	First   string   `json:"first"` // id of the pack's first callback, since where damage took its number away another may have that
	RuleSet string   `json:"rule_set"`
	Pairs   int      `json:"pairs"` // of all of them together
	Runs    [][2]int `json:"runs"`  // their places in the pack, in order: each from the first number up to the second, without it
}

// add adds the callback of a place behind the ones it has.
func (u *Unmatched) add(index, pairs int) {
	u.Pairs += pairs
	if n := len(u.Runs); n > 0 && u.Runs[n-1][1] == index {
		u.Runs[n-1][1]++
		return
	}
	u.Runs = append(u.Runs, [2]int{index, index + 1})
}

// Callbacks is how many there are.
func (u *Unmatched) Callbacks() (n int) {
	for _, r := range u.Runs {
		n += r[1] - r[0]
	}
	return n
}

// Has tells whether the callback of a place is among them.
func (u *Unmatched) Has(index int) bool {
	for _, r := range u.Runs {
		if r[0] <= index && index < r[1] {
			return true
		}
	}
	return false
}
