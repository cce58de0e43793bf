// Package e2e tests the built program from outside, as its users meet it: real files, real ports, real receivers.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program, built once for the whole package.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "aftermath-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "aftermath")
		build := exec.Command("go", "build", "-o", binary, "../../cmd/aftermath")
		if raceEnabled {
			build.Args = append(build.Args[:2], append([]string{"-race"}, build.Args[2:]...)...)
		}
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience bounds every wait for something that should happen soon.
const patience = 30 * time.Second

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// write makes a file of the tree below dir, and its folders.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// config is an aftermath.yaml on ports of the system's choice; more is added at the top level.
func config(more string) string {
	return "callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}\nadmin: {listen: 127.0.0.1:0}\n" + more
}

// server is a running serve.
type server struct {
	t        testing.TB
	cmd      *exec.Cmd
	callback string // URL
	admin    string // URL, without a slash at the end
	token    string // the admin port's

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	done   chan struct{} // closed when the process has ended
	err    error         // of Wait, once done
}

var listens = regexp.MustCompile(`(?m)^(callbacks|admin) +(https?://\S+)`)

// launch starts serve on dir's aftermath.yaml and does not wait for it to listen.
func launch(t testing.TB, dir string, env []string, args ...string) *server {
	t.Helper()
	s := &server{t: t, done: make(chan struct{})}
	s.cmd = exec.Command(binary, append([]string{"serve", "-c", filepath.Join(dir, "aftermath.yaml")}, args...)...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdout = locked{&s.mu, &s.stdout}
	s.cmd.Stderr = locked{&s.mu, &s.stderr}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("serve printed:\n%s%s", s.out(), tail(s.log(), 60))
		}
	})
	return s
}

// start is launch, and waits until both ports answer.
func start(t testing.TB, dir string, env ...string) *server {
	t.Helper()
	s := launch(t, dir, env)
	s.waitUntilUp()
	return s
}

func (s *server) waitUntilUp() {
	s.t.Helper()
	eventually(s.t, "serve to print where it listens", func() bool {
		select {
		case <-s.done:
			s.t.Fatalf("serve ended: %v\n%s", s.err, s.log())
		default:
		}
		for _, m := range listens.FindAllStringSubmatch(s.out(), -1) {
			if m[1] == "admin" {
				s.admin = strings.TrimSuffix(m[2], "/")
			} else {
				s.callback = m[2]
			}
		}
		return s.admin != "" && s.callback != ""
	})
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (s *server) out() string { s.mu.Lock(); defer s.mu.Unlock(); return s.stdout.String() }
func (s *server) log() string { s.mu.Lock(); defer s.mu.Unlock(); return s.stderr.String() }

// kill ends the process as a power cut would, as far as the process can tell.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.done
}

// stop asks it to end and gives its exit code.
func (s *server) stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("serve did not end after SIGTERM")
	}
	return s.cmd.ProcessState.ExitCode()
}

// exit waits until the process has ended by itself and gives its exit code.
func (s *server) exit() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("serve went on running")
	}
	return s.cmd.ProcessState.ExitCode()
}

// post sends a packet unsigned and gives the status and body of the answer.
func (s *server) post(query, body string) (int, string, error) {
	if query == "" {
		query = "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.callback+"?"+query, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

const answerOK = `{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}`

// deliver posts one pair and wants it answered OK.
func (s *server) deliver(from, to string) {
	s.t.Helper()
	code, answer, err := s.post("", packet(from, to))
	if err != nil || code != 200 || answer != answerOK {
		s.t.Fatalf("got %d %s %v", code, answer, err)
	}
}

// packet is a friend-delete packet of one pair.
func packet(from, to string) string {
	type pair struct {
		From string `json:"From_Account"`
		To   string `json:"To_Account"`
	}
	body, err := json.Marshal(map[string]any{"CallbackCommand": "Sns.CallbackFriendDelete", "PairList": []pair{{from, to}}})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(body)
}

// status is the part of GET status that the tests look at.
type status struct {
	Rules struct {
		Running struct {
			Hash  string
			Rules int
		}
		Disk struct {
			OK     bool
			Errors []struct {
				File, Message string
				Line, Column  int
			}
		}
	}
	Counts struct {
		Callbacks, Unmatched, Pairs, Matches uint64
		ShadowMatches                        uint64 `json:"shadow_matches"`
		Refused, Quarantined, Repeats        uint64
		Deliveries                           struct{ Created, Done, Pending, Dead, Discarded uint64 }
	}
}

func (s *server) request(method, path string) (int, []byte) {
	s.t.Helper()
	return s.send(method, path, "")
}

func (s *server) send(method, path, body string) (int, []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (s *server) status() status {
	s.t.Helper()
	code, body := s.request(http.MethodGet, "/api/v1/status")
	var st status
	if err := json.Unmarshal(body, &st); code != 200 || err != nil {
		s.t.Fatalf("status: %d %s %v", code, body, err)
	}
	if d := st.Counts.Deliveries; d.Created != d.Done+d.Pending+d.Dead+d.Discarded {
		s.t.Errorf("the counts don't balance: %+v", d)
	}
	return st
}

// aftermath runs a command to its end.
func aftermath(t testing.TB, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// jsonLines decodes a file of JSON lines; a file that isn't there has none.
func jsonLines(t testing.TB, file string) []map[string]any {
	t.Helper()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []map[string]any
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if json.Unmarshal(scanner.Bytes(), &line) == nil { // the last line may be half written
			lines = append(lines, line)
		}
	}
	return lines
}
