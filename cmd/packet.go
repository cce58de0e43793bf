package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/adminclient"
	"github.com/aftermath-rules/aftermath/internal/explain"
)

// maxPacket bounds a packet that is read from a file: far above any max_body.
const maxPacket = 64 << 20

// storedCallback is a callback as the admin API gives it, and as a line of a file of packets has it.
type storedCallback struct {
	ID     string         `json:"id"`
	At     time.Time      `json:"at"`
	Query  string         `json:"query"`
	Packet explain.Packet `json:"packet"`
	Error  string         `json:"error"`
}

// parse reads it as it was read when it came.
func (s *storedCallback) parse() (*callback.Callback, error) {
	return callback.Parse(s.Query, s.Packet, s.At)
}

// readPacket reads a packet from a file, or - for standard input.
func readPacket(cmd *cobra.Command, name string) ([]byte, error) {
	var in io.Reader = cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fileError("the packet", name, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPacket+1))
	switch {
	case err != nil:
		return nil, fileError("the packet", name, err)
	case len(data) > maxPacket:
		return nil, failuref("the packet %s is larger than 64 MiB", visible(name))
	}
	return data, nil
}

// fileError says in a sentence why a file that was named could not be read.
func fileError(what, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return failuref("%s %s does not exist", what, visible(name))
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return failuref("%s %s cannot be read: %w", what, visible(name), err)
}

// packetQuery puts the parameters of --query together, with an app where they name none.
func packetQuery(params []string, app int64) (string, error) {
	var all []string
	named := false
	for _, s := range params {
		for part := range strings.SplitSeq(strings.TrimPrefix(strings.TrimSpace(s), "?"), "&") {
			name, _, ok := strings.Cut(part, "=")
			if !ok || name == "" {
				return "", usageErrorf("query parameter %q is not of the form k=v", part)
			}
			named = named || name == "SdkAppid"
			all = append(all, part)
		}
	}
	if !named && app != 0 {
		all = append(all, "SdkAppid="+strconv.FormatInt(app, 10))
	}
	return strings.Join(all, "&"), nil
}

// packetError says that a packet is none.
func packetError(err error) error {
	var e *callback.Error
	if errors.As(err, &e) && e.Outcome == callback.Ignored {
		return failuref("this is the packet of another callback: rules see %s callbacks only", callback.Command)
	}
	return failuref("this is no friend-delete packet: %s", visible(err.Error()))
}

// fetchCallback gets a stored callback from a running serve.
func fetchCallback(ctx context.Context, client *adminclient.Client, id string) (*storedCallback, error) {
	var s storedCallback
	if err := client.Get(ctx, "callbacks/"+url.PathEscape(id), nil, &s); err != nil {
		var status *adminclient.StatusError
		if errors.As(err, &status) && status.Status == 404 {
			return nil, failuref("the journal has no callback %q: it may be older than keep.callbacks", id)
		}
		return nil, err
	}
	return &s, nil
}
