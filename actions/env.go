package actions

import (
	"context"
	"io"
	"net"

	"go.uber.org/zap"
)

// Env lends an action what is shared.
type Env struct {
	Name   string      // the action's name
	Logger *zap.Logger // the program's own log; never nil
	// Concurrency is how many attempts may run at once, and so how many connections are worth keeping. 0: unknown.
	Concurrency int
	// Dial connects where the network section of the configuration allows, checked on the address dialled.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LogFile opens a rotated file below the first folder of rules_may.files; actions that name the same file share it. Nil
	// where nothing may be written (check).
	LogFile func(path string, maxSize int64, maxFiles int) (io.WriteCloser, error)
	// LogFolder is that first folder, so that a path which leads out of it can be refused when it is loaded; "" where it is not known.
	LogFolder string
	// LogRefused says why no log may be written to a path, which the program lives by itself; "" where it may, nil where it is not known.
	LogRefused func(path string) string
	// ReadFile reads a file that the rules may use (a CA, a certificate); a relative path is relative to the rules file.
	ReadFile func(path string) ([]byte, error)
	SMTP     SMTP // the defaults of the configuration
}

// SMTP is how to reach a mail server.
type SMTP struct {
	Host     string `yaml:"host" doc:"The mail server's name."`
	Port     int    `yaml:"port" doc:"Its port: 587 by default, 465 with tls: implicit."`
	TLS      string `yaml:"tls" enum:"starttls,implicit,none" doc:"starttls is required, never downgraded."`
	Username string `yaml:"username" doc:"The name to log in with; without one, no login."`
	Password Secret `yaml:"password" doc:"The password to log in with."`
	From     string `yaml:"from" doc:"The sender's address."`
}
