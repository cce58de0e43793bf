package cmd

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/aftermath-rules/aftermath/internal/adminclient"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/internal/explain"
	"github.com/aftermath-rules/aftermath/rules"
)

// backtester feeds a backtest from a journal or a file.
type backtester struct {
	run     *backtest.Run
	before  backtestSide
	since   time.Time
	now     time.Time // when what has no time arrives
	skipped uint64    // stored packets that are no friend-delete packets
	took    time.Duration
	warn    io.Writer
	step    func(pairs int)
}

// add runs one stored callback, v. Of the journal, v says what serve makes of it.
func (b *backtester) add(s *storedCallback, v *storedValue) error {
	if s.At.Before(b.since) {
		return nil
	}
	cb, err := s.parse()
	switch {
	case err != nil && v.byHand && !v.Packet.IsValid():
		return errOtherLine
	case err != nil:
		b.skipped++
		return nil
	case b.before.Running:
		b.run.AddDecided(cb, s.ID, v.Matches)
	default:
		b.run.Add(cb, s.ID)
	}
	b.step(len(cb.Pairs))
	return nil
}

// fromJournal compares what a serve's running rules make of the callbacks that it keeps, oldest first and without repeats, with what
// now would.
func (b *backtester) fromJournal(ctx context.Context, client *adminclient.Client, now *rules.RuleSet) error {
	lines, err := client.Lines(ctx, "callbacks", url.Values{"since": {b.since.UTC().Format(time.RFC3339Nano)}, "matches": {"true"}})
	if err != nil {
		return err
	}
	defer lines.Close()
	in := newStoredReader(lines)
	var first struct {
		RuleSet string           `json:"rule_set"`
		Rules   []backtest.Known `json:"rules"`
	}
	if err := in.head(&first); err != nil || first.RuleSet == "" {
		return client.Stranger(cmp.Or(err, errors.New("it does not say which rules run")))
	}
	b.run = backtest.NewDecided(first.Rules, now)
	b.before = backtestSide{Running: true, RuleSet: first.RuleSet, Rules: len(first.Rules)}
	if err := b.readAll(ctx, in); err != nil {
		return fmt.Errorf("the admin port ended before it was through: try again: %w", err)
	}
	return nil
}

// fromFile reads a file of packets, or - for standard input.
func (b *backtester) fromFile(ctx context.Context, stdin io.Reader, name string) error {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fileError("the file of packets", name, err)
		}
		defer f.Close()
		stdin = f
	}
	in := newStoredReader(stdin)
	err := b.readAll(ctx, in)
	var form *formError
	var read *os.PathError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF) && b.run.Callbacks > 0: // it is being written
		fmt.Fprintf(b.warn, "note: the last line of %s is half-written and left out\n", visible(name))
	case errors.As(err, &form):
		return failuref("%s:%d: %w", visible(name), in.line(0), form)
	case errors.As(err, &read):
		return fileError("the file of packets", name, err)
	case err != nil:
		return failuref("%s:%d: this is no JSON: %s", visible(name), in.brokenAt(err), visible(err.Error()))
	}
	if b.run.Callbacks == 0 && b.skipped > 0 {
		return failuref("no line of %s holds a friend-delete packet: is it the file that you mean?", visible(name))
	}
	return nil
}

// readAll runs all that in has.
func (b *backtester) readAll(ctx context.Context, in *storedReader) error {
	var v storedValue
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := in.next(&v)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = b.value(&v)
		}
		if errors.Is(err, errOtherLine) {
			in.again()
			continue
		}
		if err != nil {
			return err
		}
	}
}

// storedValue is a callback as it is stored, a packet alone, or a page of the admin API, which has many.
type storedValue struct {
	ID     string         `json:"id"`
	At     string         `json:"at"`
	Query  string         `json:"query"`
	Packet jsontext.Value `json:"packet"`
	Error  string         `json:"error"`

	Matches []backtest.Decided `json:"matches"` // what the running rules make of it, where serve was asked

	CallbackCommand jsontext.Value `json:"CallbackCommand"`
	PairList        jsontext.Value `json:"PairList"`

	Callbacks []storedValue `json:"callbacks"`

	byHand bool   // it was read by line
	texts  []byte // memory of line's
}

// reset empties v, whose memory is used again.
func (v *storedValue) reset() {
	*v = storedValue{
		Packet: v.Packet[:0], CallbackCommand: v.CallbackCommand[:0], PairList: v.PairList[:0], Matches: v.Matches[:0], texts: v.texts,
	}
}

// formError says that a value is JSON and no callback.
type formError struct{ why string }

func (e *formError) Error() string {
	return "this is neither {query, packet, at} nor a packet: " + e.why
}

// value runs what one value has. It keeps nothing of it.
func (b *backtester) value(v *storedValue) error {
	s := storedCallback{ID: v.ID, At: b.now, Query: v.Query}
	switch {
	case v.Callbacks != nil:
		for i := range v.Callbacks {
			if err := b.value(&v.Callbacks[i]); err != nil {
				return err
			}
		}
		return nil
	case len(v.Packet) > 0 && v.Packet.Kind() == '"': // it is no JSON in itself
		s.Packet, _ = jsontext.AppendUnquote(nil, v.Packet) // what is no UTF-8 is replaced
	case len(v.Packet) > 0:
		s.Packet = explain.Packet(v.Packet)
	case len(v.PairList) > 0 && len(v.CallbackCommand) > 0:
		s.Packet = fmt.Appendf(nil, `{"CallbackCommand":%s,"PairList":%s}`, v.CallbackCommand, v.PairList)
	case v.Error != "":
		fmt.Fprintf(b.warn, "note: a part of the journal is left out: %s\n", visible(v.Error))
		return nil
	default:
		return &formError{"packet is missing"}
	}
	if v.At != "" {
		var err error
		if s.At, err = time.Parse(time.RFC3339Nano, v.At); err != nil {
			return &formError{fmt.Sprintf("at: %q is no time such as 2026-11-22T08:00:00Z", v.At)}
		}
	}
	return b.add(&s, v)
}

// storedReader reads JSON values one after the other, and knows their lines. As long as each line is as the journal's export writes
// it, it is taken apart by hand, at a fraction of the price; the first one that is not, and all behind it, go through a decoder.
type storedReader struct {
	in    *bufio.Reader // nil once the decoder reads
	last  []byte        // the line that was read last by hand
	dec   *jsontext.Decoder
	lines *lineCounter
}

const readAhead = 256 << 10

func newStoredReader(r io.Reader) *storedReader {
	in := bufio.NewReaderSize(r, readAhead)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = in.Discard(3) // it has been read
	}
	return &storedReader{in: in, lines: &lineCounter{}}
}

// head reads a first value of another kind.
func (s *storedReader) head(v any) error {
	dec := jsontext.NewDecoder(s.in)
	if err := json.UnmarshalDecode(dec, v); err != nil {
		return err
	}
	rest := bytes.NewReader(bytes.Clone(dec.UnreadBuffer()))
	s.in = bufio.NewReaderSize(io.MultiReader(rest, s.in), readAhead)
	return nil
}

// decode lets the decoder read what begins with the bytes, and all behind them.
func (s *storedReader) decode(first []byte) {
	s.lines.r = io.MultiReader(bytes.NewReader(bytes.Clone(first)), s.in)
	s.in, s.last = nil, nil
	s.dec = jsontext.NewDecoder(s.lines, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// nextLine reads the next line by hand; it tells whether it could, and lets the decoder go on from there where not.
func (s *storedReader) nextLine(v *storedValue) bool {
	for s.in != nil {
		line, err := s.in.ReadSlice('\n')
		if err != nil { // the end, a line without one, or one that is long
			s.decode(line)
			return false
		}
		if s.lines.n++; len(line) == 1 {
			continue
		}
		if v.line(line) {
			s.last = line
			return true
		}
		s.lines.n--
		s.decode(line)
	}
	return false
}

// again lets the decoder read the last line once more, where it was read by hand.
func (s *storedReader) again() {
	s.lines.n--
	s.decode(s.last)
}

// next reads the next value into v, whose memory is used again; io.EOF where there is none. Of lists it gives each value.
func (s *storedReader) next(v *storedValue) error {
	if s.nextLine(v) {
		return nil
	}
	for kind := s.dec.PeekKind(); kind == '[' || kind == ']'; kind = s.dec.PeekKind() {
		if _, err := s.dec.ReadToken(); err != nil {
			return err
		}
	}
	v.reset()
	err := json.UnmarshalDecode(s.dec, v)
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		return &formError{visible(err.Error())}
	}
	return err
}

// line is the line of what stands so many bytes behind the last value.
func (s *storedReader) line(behind int64) int {
	if s.in != nil {
		return max(s.lines.n, 1)
	}
	rest := s.dec.UnreadBuffer()
	return 1 + s.lines.n - bytes.Count(rest[min(behind, int64(len(rest))):], []byte("\n"))
}

// brokenAt is the line in which a value is broken.
func (s *storedReader) brokenAt(err error) int {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return s.line(max(syntactic.ByteOffset-s.dec.InputOffset(), 0))
	}
	return s.line(0)
}

// lineCounter counts the line breaks of what is read through it.
type lineCounter struct {
	r io.Reader
	n int
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += bytes.Count(p[:n], []byte("\n"))
	return n, err
}
