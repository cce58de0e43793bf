package admin

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// packs are a journal, the newest last.
type packs []*engine.Pack

func (j packs) JournalBack(_ context.Context, before uint64) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		for i := len(j) - 1; i >= 0; i-- {
			if (before == 0 || j[i].Seq < before) && !yield(j[i], nil) {
				return
			}
		}
	}
}

func (packs) QuarantinedPackets(context.Context) iter.Seq2[*engine.Quarantined, error] {
	return func(func(*engine.Quarantined, error) bool) {}
}

// packsOf makes a journal of packs such as "a0 b5": callbacks of the user a at second 0 and of b at second 5; the same user with a
// RequestId (in capitals) again within ten seconds is a repeat.
func packsOf(start time.Time, texts ...string) packs {
	var j packs
	for i, text := range texts {
		p := &engine.Pack{Seq: uint64(i + 1)}
		for _, word := range strings.Fields(text) {
			var at int
			fmt.Sscan(word[1:], &at)
			r := engine.Record{
				Key: engine.Key{word[0], byte(len(j)), byte(len(p.Records))}, Received: start.Add(time.Duration(at) * time.Second),
				Query: "SdkAppid=1&CallbackCommand=Sns.CallbackFriendDelete",
				Body:  fmt.Appendf(nil, `{"PairList":[{"From_Account":"%s","To_Account":"x"}]}`, word),
			}
			if strings.ToUpper(word) == word {
				r.Key, r.Window = engine.Key{word[0]}, 10*time.Second
			}
			p.Stored = r.Received.Add(100 * time.Millisecond)
			p.Records = append(p.Records, r)
		}
		j = append(j, p)
	}
	return j
}

func TestCallbacksAreListedOnceAndByTime(t *testing.T) {
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		packs []string
		want  string
	}{
		{"each once", []string{"a0 b1", "c2"}, "c2 b1 a0"},
		{"the same without a RequestId", []string{"a0 a1", "a2"}, "a2 a1 a0"},
		{"repeats in one pack", []string{"A0 b1 A2 A3"}, "b1 A0"},
		{"repeats in other packs", []string{"A0", "b1", "A2 c3", "A9"}, "c3 b1 A0"},
		{"again when the window is over", []string{"A0 A5", "A20 A22"}, "A20 A0"},
		{"each repeat moves the window on", []string{"A0", "A9", "A18", "A30"}, "A30 A0"},
		{"stored in another order than they came in", []string{"b1 a0 d3 c2", "e4"}, "e4 d3 c2 b1 a0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &api{Options: Options{Journal: packsOf(start, c.packs...)}}
			for limit := 1; limit <= 6; limit++ {
				var got []string
				q := &callbackQuery{limit: limit}
				for pages := 0; pages < 20; pages++ {
					page, next, err := a.storedPage(t.Context(), q)
					if err != nil || len(page) > limit {
						t.Fatalf("%d callbacks, %v", len(page), err)
					}
					for _, c := range page {
						got = append(got, c.Pairs[0].From)
					}
					if next == "" {
						break
					}
					p := paramsOf(httptest.NewRequest(http.MethodGet, "/?cursor="+next, nil), "cursor")
					q.seq, q.index = p.numbers("cursor")
				}
				want := strings.Fields(c.want)
				if strings.HasPrefix(c.name, "stored in another order") && limit < len(want) { // by time within each page
					slices.Sort(want)
					slices.Sort(got)
				}
				if strings.Join(got, " ") != strings.Join(want, " ") {
					t.Errorf("%d at a time: %v, want %v", limit, got, want)
				}
			}
		})
	}
}

func TestLookingForRepeatsIsBounded(t *testing.T) {
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	j := packsOf(start, "A0", "b1", "c2", "d3", "e4", "F5")
	for _, p := range j {
		p.Records[0].Window = time.Hour
		p.Records[0].Body = append(p.Records[0].Body, strings.Repeat(" ", lookBack/2)...)
	}
	read := 0
	a := &api{Options: Options{Journal: counted{j, &read}}}
	if page, next, err := a.storedPage(t.Context(), &callbackQuery{limit: 1}); err != nil || len(page) != 1 || next == "" || read > 5 {
		t.Errorf("%d packs were read for %d callbacks, next %q, %v", read, len(page), next, err)
	}
}

// counted counts the packs that are read.
type counted struct {
	packs
	read *int
}

func (c counted) JournalBack(ctx context.Context, before uint64) iter.Seq2[*engine.Pack, error] {
	return func(yield func(*engine.Pack, error) bool) {
		for p, err := range c.packs.JournalBack(ctx, before) {
			*c.read++
			if !yield(p, err) {
				return
			}
		}
	}
}

func TestASincePassesNoRepeatOff(t *testing.T) {
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	a := &api{Options: Options{Journal: packsOf(start, "A0", "b4", "A6 c7")}}
	page, next, err := a.storedPage(t.Context(), &callbackQuery{limit: 10, since: start.Add(5 * time.Second)})
	if err != nil || next != "" || len(page) != 1 || page[0].Pairs[0].From != "c7" {
		t.Errorf("%d callbacks, next %q, %v", len(page), next, err)
	}
}
