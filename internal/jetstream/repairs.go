package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// repairs is the file beside the streams that says what was found damaged, what is gone, and where the damaged folder lies: a gap
// that is known is no new damage.
type repairs struct {
	Version int      `json:"version"`
	Repairs []repair `json:"repairs"`
}

// repair is one time that the streams were made anew.
type repair struct {
	At     time.Time `json:"at"`
	Folder string    `json:"folder"` // the damaged streams, as they were found
	Found  []string  `json:"found"`  // what was damaged
	Gone   []gap     `json:"gone,omitempty"`
	// Of the streams that are no chain it can only be said how many messages at most are gone.
	Parked      int `json:"parked,omitempty"`
	Dead        int `json:"dead,omitempty"`
	Quarantined int `json:"quarantined,omitempty"`
	// Unseen is how many callbacks, in this and all repairs before, are gone before any rules saw them.
	Unseen uint64 `json:"unseen,omitempty"`
	// What was lost, and could be made anew from the outcomes.
	ParkedAnew int `json:"parked_anew,omitempty"`
	DeadAnew   int `json:"dead_anew,omitempty"`
}

const (
	repairsFile    = "repairs.json"
	repairsVersion = 1
)

// readRepairs reads the file. One that is damaged is the same as none: what is gone is then found and said once more.
func readRepairs(dir string) (*repairs, error) {
	rs := &repairs{Version: repairsVersion}
	b, err := os.ReadFile(filepath.Join(dir, repairsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return rs, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(b, rs) != nil {
		return &repairs{Version: repairsVersion}, nil
	}
	if rs.Version != repairsVersion {
		return nil, fmt.Errorf("%s has version %d: %w", filepath.Join(dir, repairsFile), rs.Version, errUnknownVersion)
	}
	return rs, nil
}

func (rs *repairs) write(dir string) error {
	b, err := json.MarshalIndent(rs, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, repairsFile), append(b, '\n'), 0o600, renameio.WithTempDir(dir))
}

// known says whether these messages are known to be gone; also where there are none, and only the ordinals jump there.
func (rs *repairs) known(stream string, from, to uint64) bool {
	for i := range rs.Repairs {
		for _, g := range rs.Repairs[i].Gone {
			if g.Stream == stream && g.From <= from && to <= g.To {
				return true
			}
		}
	}
	return false
}

// unseen gives how many callbacks are gone before any rules saw them.
func (rs *repairs) unseen() uint64 {
	if len(rs.Repairs) == 0 {
		return 0
	}
	return rs.Repairs[len(rs.Repairs)-1].Unseen
}

// open gives the repairs whose damaged folder is still there: nobody has taken note of them.
func (rs *repairs) open(dir string) []repair {
	var all []repair
	for _, r := range rs.Repairs {
		if r.Folder != "" && isDir(filepath.Join(dir, r.Folder)) {
			all = append(all, r)
		}
	}
	return all
}

// String says what is missing.
func (g gap) String() string {
	what := fmt.Sprintf("%d packs of outcomes (history)", g.To+1-g.From)
	if g.Stream == acceptStream {
		what = fmt.Sprintf("%d callbacks (numbers %d to %d)", g.Records, g.Ordinal, g.Ordinal+max(g.Records, 1)-1)
		if g.Records == 0 {
			what = fmt.Sprintf("%d packs of callbacks", g.To+1-g.From)
		}
	}
	when := "stored before " + g.Before.Format(time.RFC3339)
	if !g.After.IsZero() {
		when = fmt.Sprintf("stored between %s and %s", g.After.Format(time.RFC3339), g.Before.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s: %s, %s", g.Stream, what, when)
}

// gone says what is lost, in one line.
func (r *repair) gone() string {
	var all []string
	for _, g := range r.Gone {
		all = append(all, g.String())
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{r.Parked, "bundles of parked deliveries"}, {r.Dead, "dead letters"}, {r.Quarantined, "quarantined packets"},
	} {
		if c.n > 0 {
			all = append(all, fmt.Sprintf("at most %d %s", c.n, c.what))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, "; ")
}

// String is what status and log say of it.
func (r *repair) String() string {
	text := fmt.Sprintf("the store was found damaged at %s (%s) and made anew from all that is sound. Gone: %s.",
		r.At.Format(time.RFC3339), strings.Join(r.Found, "; "), r.gone())
	if r.ParkedAnew > 0 || r.DeadAnew > 0 {
		text += fmt.Sprintf(" Made anew from the history: %d pending deliveries, %d dead letters.", r.ParkedAnew, r.DeadAnew)
	}
	return text + fmt.Sprintf(" The damaged files are in %s: find out why the disk did this, keep a copy for as long as you want to look "+
		"into them, then remove that folder, which clears this message.", r.Folder)
}
