package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const benchPacket = `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"id","To_Account":"id1"},` +
	`{"From_Account":"id","To_Account":"id2"},{"From_Account":"id","To_Account":"id3"}]}`

// benchRequest is the packet's whole request.
var benchRequest = "POST /?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS HTTP/1.1\r\n" +
	fmt.Sprintf("Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(benchPacket), benchPacket)

// BenchmarkAccept posts packets of three pairs over n keep-alive connections: to a bare net/http handler that decodes with encoding/json
// and answers, to the same with a file to which all that wait are appended with one fsync (the limit of whatever stores before it
// answers), and to serve as it is configured by default, which stores each one on stable storage before it answers, with
// matching on. The client does as little as may be, since it runs on the same cores; the three take turns, in runs of one second,
// and the ratios are of their medians: to the bare handler for both, and of serve to the limit. Of serve it says too how much is
// allocated for a callback, by everything that is done with it, and how long after a run at full speed every pair was matched.
func BenchmarkAccept(b *testing.B) {
	for _, rules := range []int{10, 100_000} {
		if rules > 10 && testing.Short() {
			continue
		}
		for _, n := range []int{64, 256} {
			b.Run(fmt.Sprintf("rules=%d/n=%d", rules, n), func(b *testing.B) { benchAccept(b, rules, n) })
		}
	}
}

func benchAccept(b *testing.B, rules, n int) {
	bare := startBare(b, func([]byte) error { return nil })
	synced := startBare(b, groupSync(b))
	admin := freeAddr(b)
	durable := startServe(b, idleRules(rules), "admin: {listen: '"+admin+"'}\n")
	var bareRates, syncedRates, durableRates []float64
	var accepted, allocated, objects uint64
	for range max(b.N, 1) {
		bareRates = append(bareRates, perSecond(throughput(b, bare, n, benchRequest, time.Second)))
		syncedRates = append(syncedRates, perSecond(throughput(b, synced, n, benchRequest, time.Second)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		count, took := throughput(b, durable, n, benchRequest, time.Second)
		runtime.ReadMemStats(&after)
		accepted += count
		allocated += after.TotalAlloc - before.TotalAlloc
		objects += after.Mallocs - before.Mallocs
		durableRates = append(durableRates, perSecond(count, took))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bareRates), "bare/s")
	b.ReportMetric(median(syncedRates), "synced/s")
	b.ReportMetric(median(durableRates), "durable/s")
	b.ReportMetric(median(durableRates)/median(bareRates), "ratio")
	b.ReportMetric(median(syncedRates)/median(bareRates), "limit-ratio")
	b.ReportMetric(median(durableRates)/median(syncedRates), "of-limit")
	b.ReportMetric(float64(allocated)/float64(accepted), "B/callback")
	b.ReportMetric(float64(objects)/float64(accepted), "allocs/callback")

	full := 10 * time.Second
	if testing.Short() {
		full = time.Second
	}
	count, _ := throughput(b, durable, n, benchRequest, full)
	b.ReportMetric(untilMatched(b, admin, accepted+count).Seconds(), "caught-up-s")
}

// BenchmarkAcceptRules posts the same to two programs, each a process of its own, one with 10 rules and one with 100,000. They take turns
// of a second, and the ratio is the middle one of the ratios of all turns. At least 0.95 is what we want.
func BenchmarkAcceptRules(b *testing.B) {
	if testing.Short() {
		b.Skip("it is no smaller with small inputs")
	}
	for _, n := range []int{64, 256} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			few, many := startSelf(b, serveVar, serveFolder(b, idleRules(10))), startSelf(b, serveVar, serveFolder(b, idleRules(100_000)))
			var fewRates, manyRates, ratios []float64
			for range b.N {
				fewRates = append(fewRates, perSecond(throughput(b, few, n, benchRequest, time.Second)))
				manyRates = append(manyRates, perSecond(throughput(b, many, n, benchRequest, time.Second)))
				ratios = append(ratios, manyRates[len(manyRates)-1]/fewRates[len(fewRates)-1])
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(fewRates), "10-rules/s")
			b.ReportMetric(median(manyRates), "100k-rules/s")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

// serveUntilEOF serves until its standard input ends, and prints the address of the callback port first.
func serveUntilEOF(path string) error {
	reg, err := newRegistry(nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	addr := make(chan string, 1)
	go func() {
		fmt.Println(<-addr)
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return serve(ctx, reg, path, false, &firstLine{to: addr}, os.Stderr)
}

// untilMatched waits until the rules have seen that many callbacks, and gives how long that took.
func untilMatched(b *testing.B, admin string, callbacks uint64) time.Duration {
	b.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		answer, err := http.Get("http://" + admin + "/api/v1/status")
		if err != nil {
			b.Fatal(err)
		}
		var status struct{ Counts struct{ Callbacks uint64 } }
		err = json.NewDecoder(answer.Body).Decode(&status)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			b.Fatal(err)
		}
		switch have := status.Counts.Callbacks; {
		case have > callbacks:
			b.Fatalf("%d callbacks were matched, and only %d answered OK", have, callbacks)
		case have == callbacks:
			return time.Since(start)
		case time.Since(start) > time.Minute:
			b.Fatalf("a minute after the last of %d callbacks %d were matched", callbacks, have)
		}
	}
}

func perSecond(count uint64, took time.Duration) float64 { return float64(count) / took.Seconds() }

// groupSync gives what returns once a packet is on stable storage, with as many others as waited meanwhile.
func groupSync(b *testing.B) func([]byte) error {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	type waiter struct {
		packet []byte
		done   chan error
	}
	queue, ended := make(chan waiter, 1024), make(chan struct{})
	go func() {
		defer close(ended)
		for first := range queue {
			group, text := []waiter{first}, first.packet
			for len(queue) > 0 {
				w := <-queue
				group, text = append(group, w), append(text, w.packet...)
			}
			_, err := file.Write(text)
			err = errors.Join(err, file.Sync())
			for _, w := range group {
				w.done <- err
			}
		}
	}()
	b.Cleanup(func() {
		close(queue)
		<-ended
		if err := file.Close(); err != nil {
			b.Error(err)
		}
	})
	return func(packet []byte) error {
		w := waiter{packet, make(chan error, 1)}
		queue <- w
		return <-w.done
	}
}

// startBare serves what does no more than decode, store and answer.
func startBare(b *testing.B, store func([]byte) error) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p struct {
			CallbackCommand string
			PairList        []struct {
				From string `json:"From_Account"`
				To   string `json:"To_Account"`
			}
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		if err != nil || len(p.PairList) != 3 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := store(body); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	b.Cleanup(func() {
		if err := server.Close(); err != nil {
			b.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

// idleRules are so many rules, none of which matches.
func idleRules(count int) []byte {
	var text bytes.Buffer
	text.WriteString("actions: {note: {type: log, message: x}}\nrules:\n")
	for i := range count {
		fmt.Fprintf(&text, "  - {name: r%d, condition: 'From_Account == \"nobody-%d\"', actions: [note]}\n", i, i)
	}
	return text.Bytes()
}

// freeAddr gives a loopback address that nobody listens on.
func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return l.Addr().String()
}

// startServe runs serve with the rules, and with more in its configuration, and gives the address of its callback port.
func startServe(b *testing.B, rules []byte, more ...string) string {
	b.Helper()
	path := serveFolder(b, rules, more...)
	reg, err := newRegistry(nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	addr, done := make(chan string, 1), make(chan error, 1)
	out := &firstLine{to: addr}
	go func() { done <- serve(ctx, reg, path, false, out, os.Stderr) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	select {
	case at := <-addr:
		return at
	case err := <-done:
		done <- err
		b.Fatalf("serve ended: %v", err)
	case <-time.After(5 * time.Minute):
		b.Fatal("serve does not start")
	}
	return ""
}

// serveFolder makes a folder with the rules and a configuration, which has more in it, and gives the configuration's path.
func serveFolder(b *testing.B, rules []byte, more ...string) string {
	b.Helper()
	dir := b.TempDir()
	admin := strings.Join(more, "")
	if admin == "" {
		admin = "admin: {listen: 127.0.0.1:0}\n"
	}
	for name, data := range map[string][]byte{
		"rules.yaml":     rules,
		"aftermath.yaml": []byte("callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}\nrules: rules.yaml\nlog: {level: error}\n" + admin),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return filepath.Join(dir, "aftermath.yaml")
}

// firstLine gives the address of the callback port from the first line that serve prints.
type firstLine struct{ to chan<- string }

func (f *firstLine) Write(p []byte) (int, error) {
	var addr string
	if n, _ := fmt.Sscanf(string(p), "callbacks http://%s", &addr); n == 1 {
		f.to <- addr[:len(addr)-1]
	}
	return len(p), nil
}

// throughput posts the request over n connections and gives how many were answered OK, in what time.
func throughput(b *testing.B, addr string, n int, request string, runs time.Duration) (total uint64, took time.Duration) {
	b.Helper()
	counts := make([]uint64, n)
	var wg sync.WaitGroup
	started := time.Now()
	for i := range n {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for time.Since(started) < runs {
				if err := postOnce(conn, r, request); err != nil {
					b.Error(err)
					return
				}
				counts[i]++
			}
		})
	}
	wg.Wait()
	took = time.Since(started)
	for _, c := range counts {
		total += c
	}
	return total, took
}

// postOnce sends a request and reads its answer.
func postOnce(conn net.Conn, r *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answered %s", line)
		}
		if len(line) == len("\r\n") {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, c := range bytes.TrimSpace(v) {
				length = 10*length + int(c-'0')
			}
		}
	}
	_, err := r.Discard(length)
	return err
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
