package email

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net/mail"
	"net/netip"
	"strings"

	"github.com/aftermath-rules/aftermath/actions"
)

const (
	starttls = "starttls"
	implicit = "implicit"
	none     = "none"
)

// server is the mail server that an action uses, with all defaults put in.
type server struct {
	host     string
	port     int
	tls      string
	username string
	password actions.Secret
	config   *tls.Config
	env      actions.Env
}

// newServer puts in the defaults field by field: the action's own, those of its smtp section, those of the configuration. The
// configuration's login goes to the configuration's server only, and never over a connection that the action made weaker:
// whoever writes rules must not be able to have it sent elsewhere.
func newServer(c Config, env actions.Env) (*server, error) {
	def := env.SMTP
	s := &server{
		host: cmp.Or(c.Host, c.SMTP.Host, def.Host),
		port: cmp.Or(c.Port, c.SMTP.Port, def.Port),
		tls:  cmp.Or(c.TLS, c.SMTP.TLS, def.TLS, starttls),
		env:  env,
	}
	switch {
	case s.host == "":
		return nil, fieldError("host", "is missing: set host here, or smtp.host in aftermath.yaml for all email actions")
	case !isHost(s.host):
		return nil, fieldError("host", "%q is no name or address of a mail server; its port is the field port", s.host)
	case s.tls != starttls && s.tls != implicit && s.tls != none:
		field := "tls"
		if c.TLS == "" && c.SMTP.TLS != "" {
			field = "smtp.tls"
		}
		return nil, fieldError(field, "%q is none of starttls, implicit, none", s.tls)
	case s.port < 0 || s.port > 65535:
		return nil, fieldError("port", "%d is no port", s.port)
	case s.port == 0 && s.tls == implicit:
		s.port = 465
	case s.port == 0:
		s.port = 587
	}
	if err := s.setLogin(c, def); err != nil {
		return nil, err
	}
	return s, s.setTLS(cmp.Or(c.CA, c.SMTP.CA))
}

// isHost tells a name or an address from what else people write for one, such as a name with its port.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || !strings.ContainsAny(s, ":[]/@ \t\r\n")
}

func (s *server) setLogin(c Config, def actions.SMTP) error {
	s.username = cmp.Or(c.Username, c.SMTP.Username)
	s.password = cmp.Or(c.Password, c.SMTP.Password)
	if s.host != def.Host {
		return s.checkLogin()
	}
	ownLogin := s.username != "" && s.password.Reveal() != ""
	if def.Username != "" && s.tls == none && cmp.Or(def.TLS, starttls) != none && !ownLogin {
		return fieldError("tls", "with none, the login of aftermath.yaml would be sent unencrypted: leave tls as it is there, "+
			"or set username and password here")
	}
	s.username = cmp.Or(s.username, def.Username)
	s.password = cmp.Or(s.password, def.Password)
	return s.checkLogin()
}

func (s *server) checkLogin() error {
	switch {
	case s.username != "" && s.password.Reveal() == "":
		return fieldError("password", "is missing: the username %q needs one", s.username)
	case s.username == "" && s.password.Reveal() != "":
		return fieldError("username", "is missing: the password needs one")
	}
	return nil
}

func (s *server) setTLS(ca string) error {
	s.config = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if ca == "" {
		return nil
	}
	if s.env.ReadFile == nil {
		return fieldError("ca", "no file can be read here")
	}
	pem, err := s.env.ReadFile(ca)
	if err != nil {
		return &actions.FieldError{Field: "ca", Err: err}
	}
	s.config.RootCAs = x509.NewCertPool()
	if !s.config.RootCAs.AppendCertsFromPEM(pem) {
		return fieldError("ca", "%s holds no certificate in PEM form", ca)
	}
	return nil
}

// sender is where a mail comes from: a templated address of the action's, or the configuration's fixed one.
type sender struct {
	template actions.Address
	fixed    *mail.Address
}

func newSender(c Config, env actions.Env) (sender, error) {
	switch {
	case !c.From.IsZero():
		return sender{template: c.From}, nil
	case !c.SMTP.From.IsZero():
		return sender{template: c.SMTP.From}, nil
	case env.SMTP.From == "":
		return sender{}, fieldError("from", "is missing: set from here, or smtp.from in aftermath.yaml for all email actions")
	}
	fixed, err := mail.ParseAddress(env.SMTP.From)
	if err != nil {
		return sender{}, fieldError("from", "smtp.from in aftermath.yaml, %q, is not exactly one mail address", env.SMTP.From)
	}
	return sender{fixed: fixed}, nil
}

func (s sender) render(d *actions.Delivery) (*mail.Address, error) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	return s.template.Mail(d)
}
