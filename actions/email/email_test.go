package email

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/actions"
)

// parsed is a mail as a reader's program sees it.
type parsed struct {
	header mail.Header
	parts  map[string]string // by media type
}

func parse(t testing.TB, data string) parsed {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	out := parsed{m.Header, map[string]string{}}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	if media != "multipart/alternative" {
		body, _ := io.ReadAll(quotedprintable.NewReader(m.Body))
		out.parts[media] = string(body)
		return out
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := r.NextPart() // it decodes quoted-printable
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(part)
		media, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		out.parts[media] = string(body)
	}
}

func (p parsed) decoded(t testing.TB, name string) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(p.header.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMail(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, `
to: [Ops <ops@example.com>, care@example.com]
cc: [boss@example.com]
bcc: [audit@example.com]
reply_to: help@example.com
subject: "VIP {{ From_Account }} lost {{ To_Account }}"
text: "{{ From_Account }} removed {{ To_Account }}\n.\nend"
html: "<p>{{ From_Account }} removed <b>{{ To_Account }}</b></p>"
headers: {X-Team: care, auto-submitted: auto-replied}
`)
	result, err := a.Run(within(t, 30*time.Second), delivery())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ops@example.com", "care@example.com", "boss@example.com", "audit@example.com"}
	if diff := cmp.Diff(want, m.recipients()); diff != "" {
		t.Fatal(diff)
	}
	first := m.taken()[0]
	if first.from != "noreply@example.com" || m.connections != 1 {
		t.Errorf("from %s, over %d connections", first.from, m.connections)
	}
	got := parse(t, first.data)
	for name, want := range map[string]string{
		"From": `"Aftermath" <noreply@example.com>`, "To": `"Ops" <ops@example.com>, <care@example.com>`, "Cc": "<boss@example.com>",
		"Bcc": "", "Reply-To": "<help@example.com>", "Subject": "VIP vip_1 lost bob", "X-Team": "care",
		"Message-Id": "<d1e2f3@example.com>", "Date": "Sun, 22 Nov 2026 08:00:00 +0000", "Auto-Submitted": "auto-replied",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
		if len(got.header[name]) > 1 {
			t.Errorf("%s stands there %d times", name, len(got.header[name]))
		}
	}
	if text := got.parts["text/plain"]; text != "vip_1 removed bob\r\n.\r\nend" {
		t.Errorf("text %q", text)
	}
	if html := got.parts["text/html"]; html != "<p>vip_1 removed <b>bob</b></p>" {
		t.Errorf("html %q", html)
	}
	if strings.Contains(first.data, "audit@") {
		t.Error("the mail shows a blind copy's recipient")
	}
	if result.Detail != "4 of 4 accepted by 127.0.0.1" || result.Code != 250 || !strings.HasPrefix(string(result.Received), "250 ") ||
		!strings.Contains(string(result.Sent), "Subject: VIP vip_1 lost bob") {
		t.Errorf("result %+v", result)
	}
}

func TestWhatWasSentIsReadable(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [Bücher <ops@example.com>]\nbcc: [audit@example.com]\nsubject: 删除 {{ From_Account }}\ntext: 'é {{ To_Account }}'\nhtml: <i>ü</i>")
	result, err := a.Run(within(t, 30*time.Second), delivery())
	if err != nil {
		t.Fatal(err)
	}
	const want = "From: Aftermath <noreply@example.com>\nTo: Bücher <ops@example.com>\nBcc: <audit@example.com>\n" +
		"Message-ID: <d1e2f3@example.com>\nSubject: 删除 vip_1\n\né bob\n\n<i>ü</i>\n"
	if diff := cmp.Diff(want, string(result.Sent)); diff != "" {
		t.Error(diff)
	}
}

func TestSameRecipientTwiceIsSentOnce(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [ops@example.com, Ops <ops@EXAMPLE.com>]\nbcc: [ops@example.com]\ntext: x")
	if _, err := a.Run(within(t, 30*time.Second), delivery()); err != nil {
		t.Fatal(err)
	}
	if got := m.recipients(); len(got) != 1 {
		t.Errorf("sent to %v", got)
	}
}

func TestRecipientsAreSettledOneByOne(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [a@example.com, b@example.com, c@example.com, d@example.com]\ntext: x")
	m.refuse("a@example.com", 550, "no such user")
	m.refuse("c@example.com", 451, "try later")
	m.on(m.onData, "d@example.com", func() error { return fmt.Errorf("554 is what this becomes") })
	d := delivery()

	first, err := a.Run(within(t, 30*time.Second), d)
	if err == nil || actions.IsPermanent(err) || first.Code != 554 || first.Detail != "1 of 4 accepted by 127.0.0.1" {
		t.Fatalf("first attempt: %v, %+v", err, first)
	}
	for _, want := range []string{"3 of 4 recipients", "a@example.com (550 no such user)", "c@example.com (451 try later)", "d@example.com (554"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}

	m.accept("c@example.com")
	d.Attempt, d.State = 2, first.State
	second, err := a.Run(within(t, 30*time.Second), d)
	if !actions.IsPermanent(err) || strings.Contains(err.Error(), "c@example.com") || !strings.Contains(err.Error(), "a@example.com (550 no such user)") {
		t.Fatalf("second attempt: %v", err)
	}
	if diff := cmp.Diff([]string{"b@example.com", "c@example.com"}, m.recipients()); diff != "" {
		t.Fatal(diff)
	}

	m.accept("a@example.com")
	m.accept("d@example.com")
	for _, attempt := range []int{1, 3} { // however a replay counts
		replay := delivery()
		replay.Attempt, replay.State = attempt, second.State
		if _, err := a.Run(within(t, 30*time.Second), replay); err != nil {
			t.Fatalf("replay: %v", err)
		}
	}
	want := []string{"b@example.com", "c@example.com", "a@example.com", "d@example.com", "a@example.com", "d@example.com"}
	if diff := cmp.Diff(want, m.recipients()); diff != "" {
		t.Fatal(diff)
	}
}

func TestReplayOfAHalfSettledDeadLetterTriesTheRefusedToo(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [a@example.com, b@example.com]\ntext: x")
	d := delivery()
	d.State = []byte(`{"refused":{"a@example.com":"550 no"}}`)
	if _, err := a.Run(within(t, 30*time.Second), d); err != nil {
		t.Fatal(err)
	}
	if got := m.recipients(); len(got) != 2 {
		t.Errorf("sent to %v", got)
	}
}

func TestSenderRefused(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [a@example.com]\ntext: x\nfrom: spam@example.com")
	m.refuse("from:spam@example.com", 553, "not yours")
	_, err := a.Run(within(t, 30*time.Second), delivery())
	if !actions.IsPermanent(err) || !strings.Contains(err.Error(), "553 not yours") {
		t.Errorf("got %v", err)
	}
}

func TestConnectionLost(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [a@example.com, b@example.com, c@example.com]\ntext: x")
	m.on(m.onData, "b@example.com", func() error { m.drop(); return nil })
	result, err := a.Run(within(t, 30*time.Second), delivery())
	if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), "1 of 3 recipients") || strings.Contains(err.Error(), "EOF") {
		t.Fatalf("got %v", err)
	}
	if !slices.Contains(m.recipients(), "c@example.com") {
		t.Errorf("one who ends the connection keeps the mail from those behind: %v", m.recipients())
	}
	m.accept("b@example.com")
	d := delivery()
	d.Attempt, d.State = 2, result.State
	if _, err := a.Run(within(t, 30*time.Second), d); err != nil {
		t.Fatal(err)
	}
	got := m.recipients()
	if slices.Sort(got); slices.Compact(got)[0] != "a@example.com" || strings.Count(strings.Join(got, " "), "a@example.com") != 1 ||
		strings.Count(strings.Join(got, " "), "c@example.com") != 1 {
		t.Errorf("somebody has it twice: %v", got)
	}
}

func TestStallingServerEndsAtTheTimeout(t *testing.T) {
	release := make(chan struct{})
	m := startServer(t, serverOptions{})
	t.Cleanup(func() { close(release) })
	a := m.action(t, "to: [a@example.com, b@example.com]\ntext: x")
	m.on(m.onData, "b@example.com", func() error { <-release; return nil })
	began := time.Now()
	result, err := a.Run(within(t, 2*time.Second), delivery())
	if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), "b@example.com (no answer within the time-out)") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if !strings.Contains(string(result.State), "a@example.com") {
		t.Errorf("state %s", result.State)
	}
}

func TestEncryption(t *testing.T) {
	const base = "to: [a@example.com]\ntext: x\n"
	for _, tc := range []struct {
		name, yaml string
		server     serverOptions
		want       string // of the error; "" for success
		secure     bool
	}{
		{"starttls", "tls: starttls\nca: ca.pem\n", serverOptions{starttls: true}, "", true},
		{"starttls, in a section", "smtp: {tls: starttls, ca: ca.pem}\n", serverOptions{starttls: true}, "", true},
		{"starttls is not offered", "tls: starttls\nca: ca.pem\n", serverOptions{}, "does not support STARTTLS", false},
		{"starttls, an unknown authority", "tls: starttls\n", serverOptions{starttls: true}, "certificate", false},
		{"implicit", "tls: implicit\nca: ca.pem\n", serverOptions{implicit: true}, "", true},
		{"implicit, an unknown authority", "tls: implicit\n", serverOptions{implicit: true}, "certificate", false},
		{"none", "tls: none\n", serverOptions{starttls: true}, "", false},
		{"a login over starttls", "tls: starttls\nca: ca.pem\nusername: u\npassword: hunter2\n", serverOptions{starttls: true, login: true}, "", true},
		{"a login over implicit TLS", "tls: implicit\nca: ca.pem\nusername: u\npassword: hunter2\n", serverOptions{implicit: true, login: true}, "", true},
		{"a login without encryption, as it says", "tls: none\nusername: u\npassword: hunter2\n", serverOptions{login: true, insecureLogin: true}, "", false},
		{"a wrong password", "tls: starttls\nca: ca.pem\nusername: u\npassword: wrong-one\n", serverOptions{starttls: true, login: true}, "535", false},
		{"no login is offered", "tls: none\nusername: u\npassword: hunter2\n", serverOptions{}, "AUTH", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := startServer(t, tc.server)
			result, err := m.action(t, base+tc.yaml).Run(within(t, 30*time.Second), delivery())
			if code, _ := strconv.Atoi(tc.want); code != result.Code && tc.want != "" {
				t.Errorf("the code that retry.permanent is held against is %d", result.Code)
			}
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(m.secure) != 1 || m.secure[0] != tc.secure {
					t.Errorf("secure: %v, want %v", m.secure, tc.secure)
				}
				return
			}
			if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a temporary error with %q", err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "wrong-one") || len(m.taken()) > 0) {
				t.Errorf("got %v, and %d mails", err, len(m.taken()))
			}
		})
	}
}

func TestHostileAccounts(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, `
to: ['"{{ From_Account }}" <ops@example.com>']
subject: "VIP {{ From_Account }}!"
headers: {X-Who: "{{ From_Account }}"}
text: "{{ From_Account }}"
html: '<p title="{{ From_Account }}">{{ From_Account }}</p>'
`)
	for name, account := range map[string]string{
		"quotes": `a"b'c\`, "HTML": `</p><script>alert(1)</script>"`, "template": "{{ Rule.Name }}", "emoji": "😀😀😀😀😀😀😀😀", "path": "../%2e%2e",
		"line separator": "a\u2028b", "a list": "x@evil.example, y", "angle brackets": "<x@evil.example>", "encoded word": "=?utf-8?q?=0AX-Evil:_1?=",
		"spaces": "a" + strings.Repeat(" ", 90) + "b", "leading and trailing space": "  a  ", "a tab": "a\tb", "long": strings.Repeat("x", 500),
		"a dot": ".", "CJK": strings.Repeat("中文", 40),
	} {
		t.Run(name, func(t *testing.T) {
			d := delivery()
			d.Pair.From = account
			if _, err := a.Run(within(t, 30*time.Second), d); err != nil {
				t.Fatal(err)
			}
			mails := m.taken()
			got := parse(t, mails[len(mails)-1].data)
			if s := got.decoded(t, "Subject"); s != "VIP "+account+"!" {
				t.Errorf("subject %q", s)
			}
			if s := got.decoded(t, "X-Who"); s != account {
				t.Errorf("X-Who %q", s)
			}
			checkShape(t, got)
			if to, err := got.header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "ops@example.com" {
				t.Errorf("to %v: %v", to, err)
			}
			if strings.Contains(got.parts["text/html"], "<script>") {
				t.Errorf("html %q", got.parts["text/html"])
			}
			for line := range strings.SplitSeq(mails[len(mails)-1].data, "\r\n") {
				if len(line) > 998 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
		})
	}
	for name, account := range map[string]string{"CR LF": "a\r\nX-Evil: 1", "LF": "a\nBcc: x@evil.example", "CR": "a\rb", "NUL": "a\x00b"} {
		t.Run(name, func(t *testing.T) {
			before := len(m.taken())
			d := delivery()
			d.Pair.From = account
			if _, err := a.Run(within(t, 30*time.Second), d); !actions.IsPermanent(err) || len(m.taken()) != before {
				t.Errorf("got %v, want a permanent error and no mail", err)
			}
		})
	}
}

// checkShape tells of headers that nobody configured.
func checkShape(t testing.TB, p parsed) {
	t.Helper()
	known := []string{"From", "To", "Subject", "X-Who", "Date", "Message-Id", "Mime-Version", "Auto-Submitted", "User-Agent", "Content-Type",
		"Content-Transfer-Encoding"}
	for name, values := range p.header {
		if !slices.Contains(known, name) || len(values) != 1 {
			t.Errorf("header %s: %q", name, values)
		}
	}
}

func TestDomainBeyondASCII(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [ops@bücher.example, ops@xn--bcher-kva.example]\ntext: x\nfrom: b@bücher.example")
	if _, err := a.Run(within(t, 30*time.Second), delivery()); err != nil {
		t.Fatal(err)
	}
	got := m.taken()
	if len(got) != 1 || got[0].to != "ops@xn--bcher-kva.example" || got[0].from != "b@xn--bcher-kva.example" {
		t.Errorf("got %+v", got)
	}
}

func TestPreviewShowsSenderAndServer(t *testing.T) {
	m := startServer(t, serverOptions{})
	shown, err := m.action(t, "to: [ops@example.com]\ntext: '{{ From_Account }}'").Render(delivery())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"from": `"Aftermath" <noreply@example.com>`, "server": "127.0.0.1:" + m.addr.port, "to": []any{"ops@example.com"}, "text": "vip_1"}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
}

func TestAddressBeyondASCII(t *testing.T) {
	const yaml = "to: ['{{ From_Account }}@example.com', ops@example.com]\ntext: x"
	d := delivery()
	d.Pair.From = "用户"
	t.Run("with SMTPUTF8", func(t *testing.T) {
		m := startServer(t, serverOptions{utf8: true})
		if _, err := m.action(t, yaml).Run(within(t, 30*time.Second), d); err != nil {
			t.Fatal(err)
		}
		if got := m.taken(); len(got) != 2 || got[0].to != "用户@example.com" || !got[0].utf8 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("without", func(t *testing.T) {
		m := startServer(t, serverOptions{})
		_, err := m.action(t, yaml).Run(within(t, 30*time.Second), d)
		if !actions.IsPermanent(err) || !strings.Contains(err.Error(), "SMTPUTF8") || len(m.taken()) != 1 {
			t.Errorf("got %v, %d mails", err, len(m.taken()))
		}
	})
}

// A server whose greeting or whose reply never ends takes no more memory than its share, and no more time.
func TestServerThatSaysTooMuch(t *testing.T) {
	for name, says := range map[string]struct{ first, again string }{
		"a line":  {"220 hello ", "x"},
		"lines":   {"", "220-hello\r\n"},
		"a reply": {"220 hello\r\n250 mail.example.com ", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, says.first+strings.Repeat(says.again, 4<<20)); err != nil {
					return // the client has had enough
				}
				_, _ = io.Copy(io.Discard, conn) // a client that takes it all waits for more
			}()
			m := &mailServer{}
			m.addr.host, m.addr.port, _ = net.SplitHostPort(l.Addr().String())
			_, err = m.action(t, "to: [ops@example.com]\ntext: x").Run(within(t, 30*time.Second), delivery())
			if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), "the server says more than 1048576 bytes") {
				t.Errorf("got %v", err)
			}
		})
	}
}
