package storetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Opener{
		Open:   func(*testing.T) engine.Store { return storetest.NewMemory() },
		Reopen: func(_ *testing.T, s engine.Store) engine.Store { return s.(*storetest.Memory).Reopen() },
	})
}

func TestMemoryClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storetest.NewMemory()
		p := engine.Parked{Job: engine.Job{ID: "a"}, Due: m.Now().Add(72 * time.Hour)}
		if err := m.Park(context.Background(), []engine.Parked{p}); err != nil {
			t.Fatal(err)
		}
		came := make(chan *engine.Bundle, 1)
		go func() {
			b, _ := m.NextBundle(context.Background())
			came <- b
		}()
		m.Advance(71 * time.Hour)
		synctest.Wait()
		select {
		case <-came:
			t.Fatal("it came an hour early")
		default:
		}
		m.Advance(time.Hour)
		if b := <-came; b == nil || b.Deliveries[0].Job.ID != "a" {
			t.Errorf("got %+v", b)
		}
	})
}

func TestMemoryFails(t *testing.T) {
	m := storetest.NewMemory()
	full := errors.New("disk full")
	m.SetFail(func(op string) error {
		if op == "accept" {
			return full
		}
		return nil
	})
	if err := m.Accept(context.Background(), &engine.Record{}); !errors.Is(err, full) {
		t.Errorf("Accept: %v", err)
	}
	if st := m.Status(); st.OK || st.Error != "disk full" {
		t.Errorf("status %+v", st)
	}
	if _, err := m.Append(context.Background(), nil, nil); err != nil {
		t.Errorf("Append: %v", err)
	}
	m.SetFail(nil)
	if err := m.Accept(context.Background(), &engine.Record{}); err != nil || !m.Status().OK {
		t.Errorf("Accept: %v, status %+v", err, m.Status())
	}
}
