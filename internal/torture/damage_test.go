package torture

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// The store of a process that was killed or stopped is damaged in one random place: a bit or byte flipped, a stretch zero or random, a
// file cut or gone; in a block file, an index, a description, a reader's state, or the files beside the streams. Whatever pack an
// independent look into the files still finds whole afterwards is kept: each of its callbacks arrives, under one id; what comes later is
// never lost, over another kill; what is lost is said; the counts balance with the dead letters there are.
//
// What it cannot show: more than one fault at a time; a disk that gives other bytes at each reading; damage while the process runs.
func TestTortureDamage(t *testing.T) {
	besides(t)
	seed := seed()
	lost, hurt, kinds := 0, 0, map[string]int{}
	n := rounds(4)
	for round := range n {
		ok := t.Run(strconv.Itoa(round), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(round)))
			d := newDamaged(t, r)
			d.run(t)
			lost += d.lost
			kinds[filepath.Ext(d.file)]++
			if d.said != "" {
				hurt++
			}
			t.Logf("%s: said %q", d.what, d.said)
		})
		if !ok {
			t.Logf("seed %d", seed)
		}
	}
	t.Logf("%d rounds, in files %v: %d stores were made anew; %d callbacks were in packs that the damage hit, and all others arrived",
		n, kinds, hurt, lost)
}

// damaged is one round.
type damaged struct {
	r    *rand.Rand
	l    *ledger
	send *sender
	dir  string
	well atomic.Bool // the receiver takes what it refused for a while

	file, what string // what was done to which file
	said       string // by the status
	lost       int
}

func newDamaged(t *testing.T, r *rand.Rand) *damaged {
	d := &damaged{r: r, l: newLedger()}
	hook := newReceiver(t, d.l)
	d.dir = newFolder(t, strings.Replace(allRules(`"`+hook.URL+`/{{ From_Account }}"`), "type: webhook", "type: webhook, retry: {min: 250ms, max: 1s}", 1), "")
	hook.behave(func(w http.ResponseWriter, req *http.Request) {
		switch n, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/u")); {
		case n%7 == 1: // a dead letter
			w.WriteHeader(http.StatusGone)
		case n%5 == 1 && !d.well.Load(): // parked
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			hook.take(w, req)
		}
	})
	d.send = newSender(t, d.l, 16)
	return d
}

func (d *damaged) run(t *testing.T) {
	s := built.Start(t, d.dir)
	d.send.run(t.Context(), s.Callback, load.Plan{Concurrency: 16, Count: 200 + d.r.IntN(200)})
	if d.r.IntN(3) == 0 {
		s.Stop()
	} else {
		s.Kill()
	}
	before := int(d.l.ok.Load())
	whole := accounts(t, d.dir)
	if len(whole) < before {
		t.Fatalf("of %d callbacks that were answered OK the look into the files finds %d before any damage", before, len(whole))
	}
	d.damage(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the damage was %s", d.what)
		}
	})
	sound := accounts(t, d.dir)
	for n := range d.l.answers {
		if whole[n] && !sound[n] {
			d.lost++
		}
	}

	s = built.Start(t, d.dir)
	d.send.run(t.Context(), s.Callback, load.Plan{Concurrency: 16, Count: 50})
	s.Kill()
	d.well.Store(true)
	s = built.Start(t, d.dir)
	t.Cleanup(func() {
		if t.Failed() && s.Running() {
			_, status := s.Request("GET", "/api/v1/status")
			t.Logf("the status is %s", status)
		}
	})
	st := handled(t, s)
	d.l.readLog(t, d.dir)
	d.check(t, s, st, before, sound)
}

// check holds what arrived against what was answered OK, is whole after the damage, or came later.
func (d *damaged) check(t *testing.T, s *program.Server, st program.Status, before int, sound map[int]bool) {
	var store struct{ Store struct{ Damage string } }
	if code, body := s.Request("GET", "/api/v1/status"); code != 200 || json.Unmarshal(body, &store) != nil {
		t.Fatalf("status: %d %s", code, body)
	}
	d.said = store.Store.Damage
	missing := 0
	for n, a := range d.l.answers {
		_, hook := d.l.route("hook").ids[n]
		_, log := d.l.route("log").ids[n]
		if a != accepted || log && (hook || n%7 == 1) {
			continue
		}
		if sound[n] || n >= before {
			t.Errorf("%s: u%d was answered OK, its pack is whole or came later, and it did not arrive: hook %t, log %t", d.what, n, hook, log)
			continue
		}
		missing++
	}
	if missing > 0 && !strings.Contains(d.said, "callbacks") {
		t.Errorf("%s: %d callbacks did not arrive, and the status says %q", d.what, missing, d.said)
	}
	for _, what := range d.l.strange {
		t.Error(what)
	}
	counts := st.Counts.Deliveries
	if counts.Created != counts.Done+counts.Dead {
		t.Errorf("%s: the counts are %+v", d.what, counts)
	}
	program.Eventually(t, "as many dead letters to be listed as there are counted", func() bool { // the history lags a little
		return len(s.Deliveries("status=dead")) == int(counts.Dead)
	})
	if t.Failed() {
		t.Logf("the status says %q", d.said)
	}
}

// damage does something to one file of the store.
func (d *damaged) damage(t *testing.T) {
	byKind := map[string][]string{}
	var kinds [2][]string // of block files, and of others
	data := filepath.Join(d.dir, "data")
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" || strings.HasPrefix(e.Name(), "history.db") || strings.Contains(path, "rules-last-good") {
			return err
		}
		if info, err := e.Info(); err != nil || info.Size() == 0 {
			return err
		}
		kind, block := e.Name(), 1
		if ext := filepath.Ext(kind); ext == ".blk" {
			kind, block = filepath.Base(filepath.Dir(filepath.Dir(path))), 0
		}
		if byKind[kind] == nil {
			kinds[block] = append(kinds[block], kind)
		}
		byKind[kind] = append(byKind[kind], path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	some := kinds[d.r.IntN(2)]
	files := byKind[some[d.r.IntN(len(some))]]
	d.file = files[d.r.IntN(len(files))]
	b, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	size := len(b)
	b, how := hurt(d.r, b)
	d.what = fmt.Sprintf("%s of %d bytes: %s", strings.TrimPrefix(d.file, data), size, how)
	if b == nil {
		err = os.Remove(d.file)
	} else {
		err = os.WriteFile(d.file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hurt damages bytes and says how; nil bytes are a file that is gone.
func hurt(r *rand.Rand, b []byte) ([]byte, string) {
	at := r.IntN(len(b))
	to := min(len(b), at+1+r.IntN(4096))
	switch r.IntN(6) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
		return b, fmt.Sprintf("a bit of byte %d flipped", at)
	case 1:
		b[at] ^= byte(1 + r.IntN(255))
		return b, fmt.Sprintf("byte %d changed", at)
	case 2:
		clear(b[at:to])
		return b, fmt.Sprintf("bytes %d to %d zero", at, to)
	case 3:
		for i := at; i < to; i++ {
			b[i] = byte(r.Uint32())
		}
		return b, fmt.Sprintf("bytes %d to %d random", at, to)
	case 4:
		return b[:at], fmt.Sprintf("cut at byte %d", at)
	}
	if r.IntN(4) > 0 {
		b[at] ^= 0xff
		return b, fmt.Sprintf("byte %d turned over", at)
	}
	return nil, "gone"
}

var account = regexp.MustCompile(`"From_Account":"u(\d+)"`)

// accounts gives the callbacks of the packs that are whole in the files of the accept stream. It knows of a pack what its description
// in package jetstream says, and shares no code with it.
func accounts(t *testing.T, dir string) map[int]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "data/jetstream/$G/streams/aftermath_accept/msgs/*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for {
			i := bytes.Index(b, []byte("AMPK\x01\x01"))
			if i < 0 || len(b) < i+36 {
				break
			}
			b = b[i:]
			n := 36 + int(binary.BigEndian.Uint32(b[12:]))
			if n > len(b) || sum(b[:n]) != binary.BigEndian.Uint32(b[32:]) {
				b = b[4:]
				continue
			}
			records := b[36:n]
			if b[7]&1 != 0 { // compressed
				if records, err = s2.Decode(nil, records); err != nil {
					t.Fatalf("%s: a pack whose checksum holds is not compressed as it says: %v", file, err)
				}
			}
			for _, m := range account.FindAllSubmatch(records, -1) {
				u, err := strconv.Atoi(string(m[1]))
				if err != nil {
					t.Fatal(err)
				}
				all[u] = true
			}
			b = b[n:]
		}
	}
	return all
}

// sum is the checksum of a pack.
func sum(pack []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(pack[:32], table), table, pack[36:])
}
