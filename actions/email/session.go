package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/aftermath-rules/aftermath/internal/netguard"
)

const (
	// sessionTime bounds a connection whose context has no deadline.
	sessionTime = time.Minute
	// quitTime is how long the server may take to say goodbye.
	quitTime = time.Second
	// maxReplies bounds what a server says in a session, in bytes: the replies to a hundred recipients are a tenth of that.
	maxReplies = 1 << 20
)

// session is one connection to the mail server, greeted, encrypted and logged in.
type session struct {
	client *smtp.Client
	conn   net.Conn
	unhook func() bool
}

// connect makes a session. It ends, whatever the server does, when ctx does.
func (s *server) connect(ctx context.Context) (*session, error) {
	out := &session{unhook: func() bool { return true }}
	client, err := s.newClient(ctx, func(conn net.Conn) {
		out.conn = conn
		out.unhook = context.AfterFunc(ctx, func() { conn.Close() })
	})
	if err != nil {
		return nil, err
	}
	out.client, err = client.DialToSMTPClientWithContext(ctx)
	if err == nil {
		return out, nil
	}
	out.unhook()
	if out.conn != nil {
		out.conn.Close() // the library leaves it open
	}
	if errors.Is(err, netguard.ErrDenied) {
		return nil, err
	}
	refused := &noSession{why: fmt.Sprintf("no session with %s: %s", s.host, plain(ctx, err))}
	errors.As(err, &refused.reply)
	return nil, refused
}

// noSession is why there is no session. It is retried whatever the server replied: nobody's mail is refused yet, and a login or a
// certificate can be mended.
type noSession struct {
	why   string
	reply *textproto.Error // nil where the server did not reply
}

func (e *noSession) Error() string { return e.why }

func (s *server) newClient(ctx context.Context, connected func(net.Conn)) (*gomail.Client, error) {
	timeout := sessionTime
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond)
	}
	policy := gomail.NoTLS
	if s.tls == starttls {
		policy = gomail.TLSMandatory
	}
	options := []gomail.Option{
		gomail.WithPort(s.port),
		gomail.WithTimeout(timeout),
		gomail.WithTLSPolicy(policy),
		gomail.WithTLSConfig(s.config),
		gomail.WithoutSMTPUTF8(), // asked for by the mail that needs it
		gomail.WithDialContextFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.dial(ctx, connected)
		}),
	}
	if s.username != "" {
		options = append(options, gomail.WithUsername(s.username), gomail.WithPassword(s.password.Reveal()),
			gomail.WithOpportunisticSMTPAuth(s.mechanisms()...))
	}
	return gomail.NewClient(s.host, options...)
}

// mechanisms are the ways to log in, the best first. The bare password goes over an unencrypted connection only where the
// configuration says that there is to be no encryption.
func (s *server) mechanisms() []gomail.SMTPAuthType {
	bare := []gomail.SMTPAuthType{gomail.SMTPAuthPlain, gomail.SMTPAuthLogin}
	if s.tls == none {
		bare = []gomail.SMTPAuthType{gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc}
	}
	return append([]gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1},
		append(bare, gomail.SMTPAuthCramMD5)...)
}

func (s *server) dial(ctx context.Context, connected func(net.Conn)) (net.Conn, error) {
	if s.env.Dial == nil {
		return nil, errors.New("nothing may be connected to here")
	}
	conn, err := s.env.Dial(ctx, "tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return nil, err
	}
	conn = &bounded{Conn: conn, left: maxReplies}
	connected(conn)
	if s.tls != implicit {
		return conn, nil
	}
	secure := tls.Client(conn, s.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

// bounded bounds what is heard of a server: the SMTP library keeps a line for as long as it does not end.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the server says more than %d bytes", maxReplies)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// transact sends the mail to one recipient and gives the server's last reply. A refusal is a textproto.Error; any other error
// leaves the connection useless.
func (s *session) transact(l *letter, recipient string) (reply string, err error) {
	if ok, _ := s.client.Extension("SMTPUTF8"); !ok && !isASCII(recipient) {
		return "", &textproto.Error{Code: 553, Msg: "the server takes no address beyond ASCII (it has no SMTPUTF8)"}
	}
	s.client.SkipSMTPUTF8(!l.utf8)
	if err := s.client.Mail(path(l.from)); err != nil {
		return "", err
	}
	if err := s.client.Rcpt(path(recipient)); err != nil {
		return "", err
	}
	w, err := s.client.Data()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(l.data); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if data, ok := w.(*smtp.DataCloser); ok {
		reply = data.ServerResponse()
	}
	return reply, nil
}

// path writes an address as an envelope has it, in angle brackets.
func path(address string) string { return (&mail.Address{Address: address}).String() }

// reset forgets the transaction that was refused.
func (s *session) reset() error { return s.client.Reset() }

// close says goodbye and ends the connection.
func (s *session) close() {
	if s.unhook() { // otherwise it is closed already
		if s.client.UpdateDeadline(quitTime) == nil {
			_ = s.client.Quit()
		}
	}
	s.conn.Close()
}

// abort ends the connection as it is: in the middle of a mail a goodbye would end the mail, and have it sent in part.
func (s *session) abort() {
	s.unhook()
	s.conn.Close()
}

// plain says in plain words why there was no answer.
func plain(ctx context.Context, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within the time-out"
	case ctx.Err() != nil:
		return "the program is stopping"
	case errors.Is(err, io.EOF):
		return "the server closed the connection"
	}
	return clip(err.Error())
}
