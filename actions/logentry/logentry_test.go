package logentry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

func TestConformance(t *testing.T) {
	actionstest.Run(t, Type(), actionstest.Config{
		Good: []string{
			"message: VIP {{ From_Account }} removed {{ To_Account }}",
			"level: warn\nmessage: ${env:LOG_TOKEN}\nfields: {a: '{{ From_Account }}', b: '${env:LOG_TOKEN}', n: '{{ SdkAppid }}'}\nfile: logs/vips.jsonl\nmax_size: 1MiB\nmax_files: 3",
			"",
		},
		Bad: []string{
			"level: loud",
			"message: '{{ Form_Account }}'",
			"fields: [a]",
			"fields: text",
			"fields: {level: high}",
			"file: ../outside.jsonl",
			"file: a\nmax_size: 0",
			"file: a\nmax_files: 0",
			"file: a\nmax_size: many",
		},
		Secrets: map[string]string{"LOG_TOKEN": "a-token-never-to-be-shown"},
	})
}

func TestProblemsStandAtTheirFields(t *testing.T) {
	got := actionstest.Problems(t, Type(), "level: info\nfields: {b: 1, message: 2}\nfile: ../x\nmax_files: 0")
	want := []string{
		"action.yaml:3:25: fields.message: every line has a field of this name already",
		"action.yaml:4:7: file: must be a path below the first folder of rules_may.files, such as logs/vips.jsonl",
		"action.yaml:5:12: max_files: must be from 1 to 1000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFileOutsideOfTheFolderIsALoadError(t *testing.T) {
	folder := t.TempDir()
	for path, ok := range map[string]bool{
		"a.jsonl": true, "logs/a.jsonl": true, "logs/../a.jsonl": true, filepath.Join(folder, "a.jsonl"): true,
		"../a.jsonl": false, ".": false, "/etc/passwd": false, folder: false, folder + "2/a.jsonl": false, "a\x00b": false, "a\nb": false, "{{ From_Account }}.jsonl": false, filepath.Join(folder, "../a.jsonl"): false,
	} {
		c := Config{Level: "info", File: path, MaxSize: 1, MaxFiles: 1}
		if _, err := newAction(c, actions.Env{LogFolder: folder}); (err == nil) != ok {
			t.Errorf("file %s: got %v", path, err)
		}
	}
}

// fileEnv is an environment whose log files are those of files.
func fileEnv(t *testing.T, files *Files) actions.Env {
	env := actionstest.Env(t)
	env.LogFile = files.Open
	return env
}

func run(t *testing.T, i *actions.Instance, d *actions.Delivery) actions.Result {
	t.Helper()
	res, err := i.Run(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestFileHoldsALineForEachDelivery(t *testing.T) {
	dir := t.TempDir()
	files := NewFiles(dir)
	defer files.Close()
	i := actionstest.BuildEnv(t, Type(), `
level: warn
message: "{{ From_Account }} <&> {{ To_Account }}"
fields: {app: "{{ SdkAppid }}", mutual: "{{ Mutual }}", labels: "{{ Rule.Labels }}", deep: {to: ["{{ To_Account }}"]}}
file: logs/vips.jsonl`, fileEnv(t, files))
	path := filepath.Join(dir, "logs", "vips.jsonl")
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is made before there is a line for it")
	}
	res := run(t, i, actionstest.Delivery())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if res.Detail != "written to logs/vips.jsonl" || !bytes.Equal(res.Sent, data) {
		t.Errorf("result %+v, file %s", res, data)
	}
	if !bytes.Contains(data, []byte("alice <&> bob")) {
		t.Errorf("HTML is escaped in %s", data)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got["time"] == "" || got["time"] == nil {
		t.Error("the line has no time")
	}
	delete(got, "time")
	want := map[string]any{
		"level": "warn", "message": "alice <&> bob", "rule": "vip-lost-a-friend", "action": "sample", "delivery_id": "3f9c2a7d51e84b06",
		"app": 1400000000.0, "mutual": false, "labels": map[string]any{"team": "care"}, "deep": map[string]any{"to": []any{"bob"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoAccountBreaksALine(t *testing.T) {
	dir := t.TempDir()
	files := NewFiles(dir)
	defer files.Close()
	i := actionstest.BuildEnv(t, Type(), "message: 'x {{ From_Account }}'\nfields: {from: '{{ From_Account }}'}\nfile: out.jsonl", fileEnv(t, files))
	for name, account := range actionstest.HostileAccounts() {
		t.Run(name, func(t *testing.T) {
			if err := os.Remove(filepath.Join(dir, "out.jsonl")); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			d := actionstest.Delivery()
			d.Pair.From = account
			run(t, i, d)
			data, err := os.ReadFile(filepath.Join(dir, "out.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			lines := 0
			for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); lines++ {
				var got map[string]any
				if err := json.Unmarshal(s.Bytes(), &got); err != nil {
					t.Fatalf("%v: %s", err, s.Bytes())
				}
				if got["from"] != account || got["message"] != "x "+account || len(got) != 7 {
					t.Errorf("got %v", got)
				}
			}
			if lines != 1 || bytes.ContainsAny(data, "\r\u2028\u2029") {
				t.Errorf("%d lines: %q", lines, data)
			}
		})
	}
}

func TestProgramLogTakesEveryLine(t *testing.T) {
	var out bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.ErrorLevel)
	sampled := zapcore.NewSamplerWithOptions(core, 1e9, 1, 0)
	env := actionstest.Env(t)
	env.Logger = zap.New(sampled).With(zap.String("node", "n1"))
	i := actionstest.BuildEnv(t, Type(), "level: debug\nfields: {to: '{{ To_Account }}'}", env)
	for range 5 {
		run(t, i, actionstest.Delivery())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d of 5 lines: %s", len(lines), out.String())
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "ts")
	want := map[string]any{"level": "debug", "msg": "alice deleted the friend bob", "node": "n1", "rule": "vip-lost-a-friend", "action": "sample",
		"delivery_id": "3f9c2a7d51e84b06", "to": "bob"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

type brokenWriter struct{ n int }

func (w brokenWriter) Write(p []byte) (int, error) { return w.n, nil }
func (w brokenWriter) Sync() error                 { return nil }
func (w brokenWriter) Close() error                { return nil }

type failingSyncer struct{ brokenWriter }

func (failingSyncer) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWriteErrorsComeBack(t *testing.T) {
	env := actionstest.Env(t)
	env.LogFile = func(string, int64, int) (io.WriteCloser, error) { return brokenWriter{3}, nil }
	env.Logger = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), failingSyncer{}, zap.InfoLevel))
	i := actionstest.BuildEnv(t, Type(), "file: a", env)
	if _, err := i.Run(t.Context(), actionstest.Delivery()); !errors.Is(err, io.ErrShortWrite) || actions.IsPermanent(err) {
		t.Errorf("a short write to a file gives %v", err)
	}
	i = actionstest.BuildEnv(t, Type(), "", env)
	if _, err := i.Run(t.Context(), actionstest.Delivery()); err == nil || actions.IsPermanent(err) {
		t.Errorf("a failed write to the program's log gives %v", err)
	}
	env.LogFile = func(string, int64, int) (io.WriteCloser, error) { return nil, os.ErrPermission }
	i = actionstest.BuildEnv(t, Type(), "file: a", env)
	if _, err := i.Run(t.Context(), actionstest.Delivery()); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a file that cannot be opened gives %v", err)
	}
}

func TestRenderGivesTheMessage(t *testing.T) {
	for yaml, want := range map[string]string{
		"message: VIP {{ From_Account }}": "VIP alice",
		"level: warn":                     "alice deleted the friend bob",
	} {
		got, err := actionstest.Build(t, Type(), yaml).Render(actionstest.Delivery())
		if err != nil || got["message"] != want {
			t.Errorf("%s: %v, %v", yaml, got, err)
		}
	}
}
