// Package e2e tests the built program from outside, as its users meet it: real files, real ports, real receivers.
package e2e

import (
	"os"
	"testing"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// built is the program, built once for the whole package.
var built program.Program

func TestMain(m *testing.M) { os.Exit(program.Main(m, &built)) }

type server = program.Server

// The harness's words, short, since every test here is made of them.
const (
	patience = program.Patience
	answerOK = program.AnswerOK
)

var (
	eventually = program.Eventually
	write      = program.Write
	config     = program.Config
	packet     = program.Packet
	jsonLines  = program.JSONLines
)

// launch starts serve on dir's aftermath.yaml and does not wait for it to listen.
func launch(t testing.TB, dir string, env []string, args ...string) *server {
	t.Helper()
	return built.Launch(t, dir, env, args...)
}

// start is launch, and waits until both ports answer.
func start(t testing.TB, dir string, env ...string) *server {
	t.Helper()
	return built.Start(t, dir, env...)
}

// aftermath runs a command to its end.
func aftermath(t testing.TB, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return built.Run(t, dir, env, args...)
}
