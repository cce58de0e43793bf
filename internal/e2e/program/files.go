package program

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Write makes a file of the tree below dir, and its folders, and gives its path.
func Write(t testing.TB, dir, name, text string) string {
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

// Config is an aftermath.yaml on ports of the system's choice, whose one app has no token; more is added at the top level.
func Config(more string) string {
	return "callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}\nadmin: {listen: 127.0.0.1:0}\n" + more
}

// Packet is a friend-delete packet of one pair.
func Packet(from, to string) string {
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

// JSONLines decodes a file of JSON lines; a file that isn't there has none.
func JSONLines(t testing.TB, file string) (lines []map[string]any) {
	t.Helper()
	EachJSONLine(t, file, func(line map[string]any) { lines = append(lines, line) })
	return lines
}

// EachJSONLine is JSONLines for files of any size.
func EachJSONLine[T any](t testing.TB, file string, each func(line T)) {
	t.Helper()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line T
		if json.Unmarshal(scanner.Bytes(), &line) == nil { // the last line may be half written
			each(line)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
}

// Tail gives the last lines of a text.
func Tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
