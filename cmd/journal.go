package cmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/internal/adminclient"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/internal/explain"
)

// backtester feeds a backtest from a journal or a file.
type backtester struct {
	run     *backtest.Run
	since   time.Time
	skipped uint64 // stored packets that are no friend-delete packets
	took    time.Duration
	warn    io.Writer
	step    func(pairs int)
}

// add runs one stored callback.
func (b *backtester) add(s *storedCallback) {
	if s.At.Before(b.since) {
		return
	}
	cb, err := s.parse()
	if err != nil {
		b.skipped++
		return
	}
	b.run.Add(cb, s.ID)
	b.step(len(cb.Pairs))
}

// journalPage is how many callbacks are asked for at once.
const journalPage = 1000

// fromJournal reads the callbacks that a serve keeps, newest first. What arrives meanwhile is not among them.
func (b *backtester) fromJournal(ctx context.Context, client *adminclient.Client, disk string) error {
	var status struct {
		Rules struct {
			Running struct {
				Hash string `json:"hash"`
			} `json:"running"`
		} `json:"rules"`
	}
	if err := client.Get(ctx, "status", nil, &status); err != nil {
		return err
	}
	if running := status.Rules.Running.Hash; running != "" && running != disk {
		fmt.Fprintf(b.warn, "note: serve runs the rule set %s, and the configuration's rules on disk, %s, stand for it here\n", visible(running), disk)
	}
	query := url.Values{"status": {"stored"}, "since": {b.since.UTC().Format(time.RFC3339Nano)}, "limit": {strconv.Itoa(journalPage)}}
	for {
		var page struct {
			Callbacks []storedCallback `json:"callbacks"`
			Next      string           `json:"next"`
		}
		if err := client.Get(ctx, "callbacks", query, &page); err != nil {
			return err
		}
		for i := range page.Callbacks {
			b.add(&page.Callbacks[i])
		}
		if page.Next == "" || page.Next == query.Get("cursor") {
			return nil
		}
		query.Set("cursor", page.Next) // of a page that may be empty, where much was searched for it
	}
}

// fromFile reads JSON lines.
func (b *backtester) fromFile(ctx context.Context, stdin io.Reader, name string) error {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fileError("the file of packets", name, err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewReaderSize(in, 1<<20)
	now := time.Now()
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, whole, err := readLine(lines)
		if err != nil {
			return fileError("the file of packets", name, err)
		}
		if !whole && len(line) == 0 {
			return b.checkSome(name)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		s, err := decodeLine(line, now)
		switch {
		case err != nil && !whole:
			fmt.Fprintf(b.warn, "note: the last line of %s is half-written and left out\n", visible(name))
			return b.checkSome(name)
		case err != nil:
			return failuref("%s:%d: this is no line {query, packet, at} of JSON: %s", visible(name), n, visible(err.Error()))
		}
		b.add(s)
	}
}

// checkSome refuses a file that holds no friend-delete packet at all: it is another file than was meant.
func (b *backtester) checkSome(name string) error {
	if b.run.Callbacks == 0 && b.skipped > 0 {
		return failuref("no line of %s holds a friend-delete packet: is it the file that you mean?", visible(name))
	}
	return nil
}

// readLine gives the next line without its end; whole is false for a last one that has none. The line is good until the next call.
func readLine(r *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) && len(long) <= maxPacket {
			line, err = r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
		if len(line) > maxPacket {
			return nil, false, errors.New("a line is longer than 64 MiB")
		}
	}
	if errors.Is(err, io.EOF) {
		return line, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return line[:len(line)-1], true, nil
}

// decodeLine reads a line. Without a time the callback arrives now.
func decodeLine(line []byte, now time.Time) (*storedCallback, error) {
	var in struct {
		ID     string         `json:"id"`
		At     string         `json:"at"`
		Query  string         `json:"query"`
		Packet jsontext.Value `json:"packet"`
	}
	// Repeated names within the packet are found when it is parsed.
	if err := json.Unmarshal(line, &in, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	s := &storedCallback{ID: in.ID, At: now, Query: in.Query}
	if in.At != "" {
		var err error
		if s.At, err = time.Parse(time.RFC3339Nano, in.At); err != nil {
			return nil, fmt.Errorf("at: %q is no time such as 2026-11-22T08:00:00Z", in.At)
		}
	}
	switch in.Packet.Kind() {
	case 0:
		return nil, errors.New("packet is missing")
	case '"':
		var text string
		if err := json.Unmarshal(in.Packet, &text); err != nil {
			return nil, err
		}
		s.Packet = explain.Packet(text)
	default:
		s.Packet = explain.Packet(in.Packet)
	}
	return s, nil
}
