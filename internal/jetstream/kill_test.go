package jetstream_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// childDir names the variable that makes the test binary a child that is killed while it stores.
const childDir = "AFTERMATH_TEST_KILL_DIR"

const producers = 64

// acceptForEver stores callbacks until the process is killed, prints the key of each once Accept returned, and acks what it
// reads, every other pack.
func acceptForEver(dir string) {
	ctx := context.Background()
	s, err := jetstream.Open(ctx, jetstream.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	for range producers {
		go func() {
			for {
				r := &engine.Record{Window: time.Minute, Received: time.Now(), Query: "a=b", Body: bytes.Repeat([]byte{'x'}, 500)}
				random(r.Key[:])
				if s.Accept(ctx, r) == nil {
					mu.Lock()
					fmt.Printf("%x\n", r.Key)
					mu.Unlock()
				}
			}
		}()
	}
	for {
		if p, err := s.NextPack(ctx); err == nil && p.Seq%2 == 0 {
			p.Ack()
		}
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it kills twenty processes")
	}
	dir := t.TempDir()
	acked := make(map[engine.Key]bool)
	for round := range 20 {
		for _, k := range runAndKill(t, dir, 300*time.Millisecond) {
			acked[k] = true
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	s := open(t, jetstream.Options{Dir: dir})
	stored := make(map[engine.Key]int)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for p, err := range s.Journal(ctx, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Records {
			stored[r.Key]++
		}
	}
	lost, twice := 0, 0
	for k := range acked {
		switch stored[k] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	t.Logf("%d confirmed, %d stored", len(acked), len(stored))
	if lost > 0 || twice > 0 || len(acked) == 0 {
		t.Errorf("of %d confirmed callbacks %d are lost and %d stored twice", len(acked), lost, twice)
	}
}

// runAndKill runs a child on the folder, kills it some time after it confirmed something, and gives what it confirmed.
func runAndKill(t *testing.T, dir string, after time.Duration) (keys []engine.Key) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A child that confirms nothing at all is killed too.
	limit := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer limit.Stop()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break // an unfinished line at the end was not confirmed
		}
		var k engine.Key
		if n, err := hex.Decode(k[:], []byte(line[:len(line)-1])); err != nil || n != len(k) {
			t.Fatalf("the child says %q", line)
		}
		if len(keys) == 0 {
			limit.Stop()
			limit = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		keys = append(keys, k)
	}
	cmd.Wait()
	if len(keys) == 0 {
		t.Errorf("the child confirmed nothing: %s", stderr.String())
	}
	return keys
}
