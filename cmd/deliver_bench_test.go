package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// receiverVar makes the test binary the receiver of webhooks instead of running tests, so that the receiver is another process;
// serveVar makes it serve with the configuration that it names.
const (
	receiverVar = "AFTERMATH_BENCH_RECEIVER"
	serveVar    = "AFTERMATH_BENCH_SERVE"
)

func TestMain(m *testing.M) {
	if os.Getenv(receiverVar) != "" {
		receive()
		return
	}
	if path := os.Getenv(serveVar); path != "" {
		if err := serveUntilEOF(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// receive counts posts to / and tells their number at /count; posts to /dead get no answer. It ends with its standard input.
func receive() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var count atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		count.Add(1)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/dead", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, count.Load()) })
	fmt.Println(l.Addr())
	go func() { _ = http.Serve(l, mux) }() // until the process ends
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// receiver is the receiver's process.
type receiver struct {
	b   *testing.B
	url string
}

func startReceiver(b *testing.B) *receiver {
	b.Helper()
	return &receiver{b: b, url: "http://" + startSelf(b, receiverVar, "1")}
}

// startSelf runs the test binary in another role until the benchmark ends, and gives the first line that it prints.
func startSelf(b *testing.B, role, value string) string {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"="+value)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// count is how many posts it has had.
func (r *receiver) count() int {
	r.b.Helper()
	answer, err := http.Get(r.url + "/count")
	if err != nil {
		r.b.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.b.Fatal(err)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		r.b.Fatal(err)
	}
	return n
}

// BenchmarkDeliver measures webhooks to a receiver in another process: how many are delivered in a second while there are always more,
// beside a bare loop of http.Client posts with the same concurrency, size and headers, neither of them signed; and how far deliveries fall behind while 4,000 callbacks a second
// are accepted, with and without another action whose receiver is dead.
func BenchmarkDeliver(b *testing.B) {
	const concurrency = 32
	hook := func(name, url string) string {
		return fmt.Sprintf("  %s: {type: webhook, url: '%s', concurrency: %d}\n", name, url, concurrency)
	}
	b.Run("drain", func(b *testing.B) {
		to := startReceiver(b)
		serve := startServe(b, []byte("actions:\n"+hook("hook", to.url)+"rules: [{name: all, condition: 'true', actions: [hook]}]\n"))
		var bare, delivered []float64
		for range b.N {
			bare = append(bare, postLoop(b, to, concurrency))
			delivered = append(delivered, drain(b, serve, to))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(bare), "bare/s")
		b.ReportMetric(median(delivered), "delivered/s")
		b.ReportMetric(median(delivered)/median(bare), "ratio")
	})
	for name, dead := range map[string]bool{"accept=4000": false, "accept=4000,dead-neighbour": true} {
		b.Run(name, func(b *testing.B) {
			to := startReceiver(b)
			actions, rule := hook("hook", to.url), "[hook]"
			if dead {
				actions, rule = actions+hook("dead", to.url+"/dead"), "[hook, dead]"
			}
			serve := startServe(b, []byte("actions:\n"+actions+"rules: [{name: all, condition: 'true', actions: "+rule+"}]\n"))
			const offered = 4000
			var accepted, delivered, halfway, behind []float64
			for range b.N {
				k := keepUp(b, serve, to, offered)
				accepted, delivered = append(accepted, k.accepted), append(delivered, k.delivered)
				halfway, behind = append(halfway, float64(k.halfway)), append(behind, float64(k.behind))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(offered, "offered/s")
			b.ReportMetric(median(accepted), "accepted/s")
			b.ReportMetric(median(delivered), "delivered/s")
			b.ReportMetric(median(halfway), "behind-halfway")
			b.ReportMetric(median(behind), "behind")
		})
	}
}

// postBare posts what an unsigned webhook posts.
func postBare(client *http.Client, url string, body []byte) error {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", strings.Repeat("0", 32))
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	return answer.Body.Close() // there is none
}

// postLoop posts what a webhook posts by default from n goroutines for a second, and gives how many went out.
func postLoop(b *testing.B, to *receiver, n int) float64 {
	b.Helper()
	body, err := json.Marshal(map[string]any{"type": "friend.deleted", "timestamp": time.Now(), "data": map[string]any{
		"delivery_id": strings.Repeat("0", 32), "rule": "all", "labels": map[string]string{}, "From_Account": "id", "To_Account": "id1",
		"SdkAppid": 1400000000, "ClientIP": "127.0.0.1", "OptPlatform": "iOS", "RequestId": "", "callback_id": strings.Repeat("0", 32),
		"rule_set": strings.Repeat("0", 16),
	}})
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	var posted atomic.Int64
	var wg sync.WaitGroup
	started := time.Now()
	for range n {
		wg.Go(func() {
			for time.Since(started) < time.Second {
				if err := postBare(client, to.url, body); err != nil {
					b.Error(err)
					return
				}
				posted.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(posted.Load()) / time.Since(started).Seconds()
}

// drain has callbacks of 100 pairs accepted over four connections for two seconds, as many as keep deliveries waiting, and gives how
// many of those reached the receiver in a second.
func drain(b *testing.B, serve string, to *receiver) float64 {
	b.Helper()
	const conns, pairs, waiting = 4, 100, 1500
	request := packetRequest(pairs)
	started, before := time.Now(), to.count()
	var sent, arrived atomic.Int64
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			conn, err := net.Dial("tcp", serve)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for time.Since(started) < 2*time.Second {
				if sent.Add(pairs)-arrived.Load() > waiting {
					sent.Add(-pairs)
					time.Sleep(2 * time.Millisecond)
					continue
				}
				if err := postOnce(conn, r, request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for time.Since(started) < 2*time.Second {
		arrived.Store(int64(to.count() - before))
		time.Sleep(5 * time.Millisecond)
	}
	rate := float64(to.count()-before) / time.Since(started).Seconds()
	wg.Wait()
	awaitCount(b, to, before+int(sent.Load()))
	return rate
}

// kept is how accepting and delivering went: in a second, and how many accepted callbacks had not arrived as webhooks.
type kept struct {
	accepted, delivered float64
	halfway, behind     int // in the middle of the run and when the last was accepted
}

// keepUp has so many callbacks of one pair accepted each second, for five seconds.
func keepUp(b *testing.B, serve string, to *receiver, rate int) kept {
	b.Helper()
	const conns, seconds = 64, 5
	total, before := seconds*rate, to.count()
	request := packetRequest(1)
	started := time.Now()
	var sent atomic.Int64
	var wg sync.WaitGroup
	for w := range conns {
		wg.Go(func() {
			conn, err := net.Dial("tcp", serve)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for i := w; i < total; i += conns {
				time.Sleep(time.Until(started.Add(time.Duration(i) * time.Second / time.Duration(rate))))
				if err := postOnce(conn, r, request); err != nil {
					b.Error(err)
					return
				}
				sent.Add(1)
			}
		})
	}
	time.Sleep(seconds * time.Second / 2)
	k := kept{halfway: int(sent.Load()) - (to.count() - before)}
	wg.Wait()
	arrived, took := to.count()-before, time.Since(started).Seconds()
	k.accepted, k.delivered, k.behind = float64(total)/took, float64(arrived)/took, total-arrived
	awaitCount(b, to, before+total)
	return k
}

// awaitCount waits until the receiver has had so many posts.
func awaitCount(b *testing.B, to *receiver, want int) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); to.count() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the receiver has had %d webhooks, want %d", to.count(), want)
		}
	}
}

// packetRequest is the request of a callback of n pairs.
func packetRequest(n int) string {
	var list []map[string]string
	for i := range n {
		list = append(list, map[string]string{"From_Account": "id", "To_Account": fmt.Sprint("id", i)})
	}
	body, err := json.Marshal(map[string]any{"CallbackCommand": "Sns.CallbackFriendDelete", "PairList": list})
	if err != nil {
		panic(err) // strings have always a JSON
	}
	return fmt.Sprintf("POST /?SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(body), body)
}
