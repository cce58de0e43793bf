package engine_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/aftermath-rules/aftermath/engine"
)

// TestDayOfDeadSMTP plays a day in which the mail server hangs up on everyone, or refuses them with 421, while callbacks come every ten
// minutes, each of which also runs an action that is well. The clock is simulated, the server and the connections to it are real.
//
// The other action does not notice. Each mail is attempted no sooner than its retry says, and the server meets few attempts however many mails
// wait. When it is back, all whose retry span has not ended are taken within minutes, in an attempt each and no more at once than the action
// may; the others are dead letters, and died when their span ended.
func TestDayOfDeadSMTP(t *testing.T) {
	const (
		day, every  = 24 * time.Hour, 10 * time.Minute
		concurrency = 4
		span, most  = 6 * time.Hour, 10 * time.Minute // of the mails that are given up after some hours, and their longest wait
	)
	mail := newMailServer(t)
	host, port, _ := net.SplitHostPort(mail.Addr().String())
	action := fmt.Sprintf("type: email, to: [a@example.com], from: b@example.com, subject: s, text: t, smtp: {host: %s, port: %s, tls: none}, concurrency: %d",
		host, port, concurrency)
	rule := fmt.Sprintf(`rules: [{name: all, condition: "true", actions: [{type: fn, key: k}, {%s, name: patient}, {%s, name: brief, retry: {for: %s, max: %s}}]}]`,
		action, action, span, most)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(rule)
		mail.behave(hangsUp)
		callbacks := 0
		for began := time.Now(); time.Since(began) < day; time.Sleep(every) {
			if time.Since(began) >= day/2 {
				mail.behave(refuses)
			}
			w.send("", "a>b")
			callbacks++
		}
		synctest.Wait()
		// A spared action is probed every 30 s at most, and there are two of them.
		met := mail.met()
		if limit := int(day/(30*time.Second))*2 + 20; met.attempts > limit || met.attempts < 100 {
			t.Errorf("the server met %d attempts in a day, want 100 to %d", met.attempts, limit)
		}
		if n := len(w.seen("k")); n != callbacks {
			t.Errorf("of %d deliveries of the healthy action %d were made within the day", callbacks, n)
		}
		waiting := w.eng.Status().Pending
		mail.behave("")
		back := time.Now()
		w.settle()
		// A mail waits for its own retry, an hour at most, or until what is spared comes back, five minutes at most.
		if took := time.Since(back); took > 70*time.Minute {
			t.Errorf("it took %s until nothing was pending", took)
		}
		totals, ended := w.balance()
		if after := mail.met(); after.attempts-met.attempts > int(waiting) || after.most > concurrency*2 || after.taken != int(totals.Done)-callbacks {
			t.Errorf("%d mails waited; then the server met %d attempts, %d at once, and took %d; the engine counts %+v",
				waiting, after.attempts-met.attempts, after.most, after.taken, totals)
		}
		dead := 0
		for _, history := range ended {
			if history[len(history)-1].Outcome == engine.OutcomeDead {
				dead++
			}
			switch history[0].Action {
			case "all/brief":
				checkSpan(t, history, back, span, most)
				checkPace(t, history, most)
			case "all/patient":
				if last := history[len(history)-1]; last.Outcome != engine.OutcomeDone {
					t.Errorf("a patient mail ended %s: %s", last.Outcome, last.Error)
				}
				checkPace(t, history, time.Hour)
			default:
				if outcomes(history) != engine.OutcomeDone {
					t.Errorf("a delivery of the healthy action went %s", outcomes(history))
				}
			}
		}
		w.expect(uint64(3*callbacks-dead), uint64(dead))
		t.Logf("%d callbacks; the server met %d attempts in the day; then %d mails that waited were taken within %s; %d were given up",
			callbacks, met.attempts, mail.met().taken, time.Since(back), dead)
	})
}

// checkPace wants no attempt sooner after the one before than its retry says.
func checkPace(t *testing.T, history []engine.Ended, most time.Duration) {
	t.Helper()
	wait, attempt := time.Second, 0
	var failed time.Time
	for _, e := range history {
		if e.Attempt == attempt { // it was put off
			continue
		}
		if e.Attempt != attempt+1 {
			t.Errorf("attempt %d of %s came after %d", e.Attempt, e.Delivery, attempt)
		}
		if attempt > 0 {
			if waited := e.At.Sub(failed); waited < wait/2 {
				t.Errorf("attempt %d of %s came after %s, want %s at least", e.Attempt, e.Delivery, waited, wait/2)
			}
			wait = min(2*wait, most)
		}
		failed, attempt = e.At, e.Attempt
	}
}

// checkSpan wants a delivery to have died when its retry span ended, and not at all where the server was back before.
func checkSpan(t *testing.T, history []engine.Ended, back time.Time, span, most time.Duration) {
	t.Helper()
	last := history[len(history)-1]
	end := history[0].At.Add(span) // a span begins with the first attempt, or when the delivery is made where there is none
	for _, e := range history {
		if e.Attempt == 1 {
			end = e.At.Add(span)
			break
		}
	}
	const late = 15 * time.Minute
	switch {
	case last.Outcome == engine.OutcomeDead && (last.At.Before(end.Add(-most)) || last.At.After(end.Add(late))):
		t.Errorf("delivery %s died at %s, its span ended at %s", last.Delivery, last.At, end)
	case last.Outcome == engine.OutcomeDone && end.Add(late).Before(back), last.Outcome == engine.OutcomeDead && end.Add(-most).After(back):
		t.Errorf("delivery %s ended %s; its span ended at %s, the server was back at %s", last.Delivery, last.Outcome, end, back)
	}
}

// mailServer is a mail server in front of which somebody hangs up, while that is asked for. It runs on the real clock.
type mailServer struct {
	net.Listener

	mu  sync.Mutex
	bad string // what every client is told before the connection is closed; "-" for nothing, "" for the server to answer
	now int
	has metMail
}

// metMail is what a server has met with.
type metMail struct{ attempts, most, taken int }

const (
	hangsUp = "-"
	refuses = "421 4.3.2 not now\r\n"
)

func newMailServer(t *testing.T) *mailServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{Listener: l}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailSession{m}, nil }))
	server.Domain = "mail.example.com"
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(m) }()
	t.Cleanup(func() { l.Close(); server.Close(); <-done })
	return m
}

func (m *mailServer) behave(bad string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad = bad
}

func (m *mailServer) met() metMail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has
}

// Accept implements [net.Listener].
func (m *mailServer) Accept() (net.Conn, error) {
	for {
		conn, err := m.Listener.Accept()
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		bad := m.bad
		m.has.attempts++
		m.mu.Unlock()
		if bad == "" {
			return conn, nil
		}
		if bad != hangsUp {
			_, _ = io.WriteString(conn, bad)
		}
		conn.Close()
	}
}

type mailSession struct{ server *mailServer }

// Mail begins a mail, which ends before the client is told that it is taken: what is under way at once is so for the client too.
func (s mailSession) Mail(string, *smtp.MailOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.now++
	s.server.has.most = max(s.server.has.most, s.server.now)
	return nil
}

func (mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailSession) Reset()                               {}
func (mailSession) Logout() error                        { return nil }

func (s mailSession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.now--
	s.server.has.taken++
	return err
}
