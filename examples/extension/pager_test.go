package main

import (
	"io"
	"net"
	"testing"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

func pagerType() actions.Type { return actions.Define("pager", actions.Spec[pager]{New: newPager}) }

func TestConformance(t *testing.T) {
	actionstest.Run(t, pagerType(), actionstest.Config{
		Good:    []string{"gateway: 127.0.0.1:4444\ntext: 'VIP {{ From_Account }} ${env:PAGER_GROUP}'"},
		Bad:     []string{"gateway: 127.0.0.1:4444", "gateway: 127.0.0.1:4444\ntext: '{{ Form_Account }}'"},
		Secrets: map[string]string{"PAGER_GROUP": "group-key-4711"},
	})
}

func TestPage(t *testing.T) {
	gateway, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer gateway.Close()
	page := make(chan string, 1)
	go func() {
		conn, err := gateway.Accept()
		if err != nil {
			page <- err.Error()
			return
		}
		defer conn.Close()
		line, err := io.ReadAll(conn)
		if err != nil {
			line = []byte(err.Error())
		}
		page <- string(line)
	}()
	action := actionstest.Build(t, pagerType(), "gateway: "+gateway.Addr().String()+"\ntext: VIP {{ From_Account }} lost {{ To_Account }}")
	d := actionstest.Delivery()
	if _, err := action.Run(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got, want := <-page, d.ID+" VIP alice lost bob\n"; got != want {
		t.Errorf("the gateway got %q, want %q", got, want)
	}
}
