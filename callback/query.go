package callback

import (
	"math"
	"net/http"
	"strings"
)

// query is what the protocol knows of a URL's query. Parameters that it does not know are no error, whatever they hold.
type query struct {
	raw         string
	sdkAppid    param
	sign        param
	requestTime param
	command     param
	clientIP    param
	optPlatform param
	requestID   param
}

// param is one parameter. Chat adds its own after those of the callback URL, so that the last of several is Chat's; where
// that is a matter of trust, a repeated one is refused instead.
type param struct {
	last  string // its value; of several, the last
	count int
	mixed bool // there are several, and they differ
}

func (p *param) add(value string) {
	value = unescape(value)
	p.mixed = p.mixed || p.count > 0 && value != p.last
	p.last = value
	p.count++
}

// text is the value as UTF-8, since it is shown to people and goes into JSON.
func (p *param) text() string { return strings.ToValidUTF8(p.last, "\uFFFD") }

// number is the value of a parameter that stands there once and is a decimal number without sign or leading zeros.
func (p *param) number() (int64, bool) {
	if p.count != 1 || p.last == "" || len(p.last) > 1 && p.last[0] == '0' {
		return 0, false
	}
	var n int64
	for _, c := range []byte(p.last) {
		digit := int64(c) - '0'
		if digit < 0 || digit > 9 || n > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, true
}

// parseQuery reads a query: parameters are separated by & alone, and a ; is an ordinary character. Names count as they are
// when decoded.
func parseQuery(raw string) query {
	q := query{raw: raw}
	for rest := raw; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(part, "=")
		switch unescape(name) {
		case "SdkAppid":
			q.sdkAppid.add(value)
		case "Sign":
			q.sign.add(value)
		case "RequestTime":
			q.requestTime.add(value)
		case "CallbackCommand":
			q.command.add(value)
		case "ClientIP":
			q.clientIP.add(value)
		case "OptPlatform":
			q.optPlatform.add(value)
		case "RequestId":
			q.requestID.add(value)
		}
	}
	return q
}

// foreign is the error for a callback whose URL says that it is of another command.
func (q *query) foreign() *Error {
	if q.command.last != "" && q.command.last != Command && !q.command.mixed {
		return ignored()
	}
	return nil
}

func ignored() *Error {
	return &Error{Status: http.StatusOK, Outcome: Ignored, Text: "ignored"}
}

// unescape decodes percent escapes and the + of forms. An escape that is none stands for itself, as in browsers: it makes no
// valid number, Sign or command, and in a parameter that nobody knows it is nobody's business.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
