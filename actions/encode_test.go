package actions

import (
	"maps"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// accounts are hostile account ids by what they try.
func accounts() map[string]string {
	return map[string]string{
		"double quote":        `a"b`,
		"single quote":        `a'b`,
		"backslash":           `a\b`,
		"CR LF":               "a\r\nX-Evil: 1",
		"CR":                  "a\rb",
		"LF":                  "a\nBcc: all@evil.example",
		"NUL":                 "a\x00b",
		"tag":                 `<img src=x onerror=alert(1)>`,
		"end of an attribute": `" onmouseover="alert(1)`,
		"end of a comment":    `--><script>x()</script>`,
		"entity":              `&lt;b&gt;`,
		"template":            `{{ From_Account }}`,
		"secret":              `${env:HOME}`,
		"path up":             `../../etc/passwd`,
		"dot dot":             `..`,
		"dot":                 `.`,
		"encoded dots":        `%2e%2e`,
		"encoded dots, upper": `%2E%2E%2F`,
		"half an escape":      `2e`,
		"encoded slash":       `a%2Fb`,
		"query":               `a?b=c&d=e+f#g`,
		"user info":           `x@evil.example`,
		"address list":        `a@evil.example,b`,
		"angle brackets":      `a> <b@evil.example`,
		"quoted string":       `"a" <b@c>`,
		"encoded word":        `=?utf-8?q?a=0D=0Ab?=`,
		"emoji":               "👩‍👩‍👧 bob",
		"line separator":      "a\u2028b\u2029c",
		"right to left":       "a\u202egpj.exe",
		"space":               " ",
		"semicolon":           "a;b",
		"longest":             strings.Repeat("x", 32),
	}
}

func from(account string) *Delivery {
	d := delivery()
	d.Pair.From = account
	return d
}

func TestURLOfHostileAccounts(t *testing.T) {
	i := mustBuild(t, "url: https://hooks.example:8443/v1/{{ From_Account }}/end?u={{ From_Account }}&n=1", Builder{})
	dead := []string{"dot", "dot dot"}
	for name, account := range accounts() {
		t.Run(name, func(t *testing.T) {
			s, err := configOf(i).URL.Render(from(account))
			if slices.Contains(dead, name) {
				if !IsPermanent(err) {
					t.Fatalf("%q, %v: want a permanent error", s, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkURLValues(t, s, account)
		})
	}
}

// checkURLValues reads the URL back: the account is one segment of the path and one value of the query, and nothing else changed.
func checkURLValues(t *testing.T, s, account string) {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	segments := strings.Split(u.EscapedPath(), "/")
	if u.Scheme != "https" || u.Host != "hooks.example:8443" || u.User != nil || u.Fragment != "" || len(segments) != 4 || segments[3] != "end" {
		t.Fatalf("%q has another shape", s)
	}
	if got, err := url.PathUnescape(segments[2]); err != nil || got != account {
		t.Errorf("the path gives %q, %v", got, err)
	}
	want := url.Values{"u": {account}, "n": {"1"}}
	if got, err := url.ParseQuery(u.RawQuery); err != nil || !cmp.Equal(got, want) {
		t.Errorf("the query gives %v, %v", got, err)
	}
}

func TestURLSegmentsOfDots(t *testing.T) {
	for _, c := range []struct{ name, url, account string }{
		{"two halves", "https://a.example/{{ From_Account }}{{ From_Account }}/x", "."},
		{"a dot beside it", "https://a.example/x/.{{ From_Account }}", "."},
		{"an encoded dot beside it", "https://a.example/x/%2e{{ From_Account }}", "."},
		{"an upper one beside it", "https://a.example/x/{{ From_Account }}%2E?q", "."},
		{"nothing between dots", "https://a.example/x/.{{ RequestId }}./y", "z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, problems := build(t, "url: "+c.url, Builder{})
			if u == nil {
				t.Fatal(problems)
			}
			if s, err := configOf(u).URL.Render(from(c.account)); !IsPermanent(err) {
				t.Errorf("%q, %v: want a permanent error", s, err)
			}
		})
	}
	i := mustBuild(t, "url: https://a.example/v{{ From_Account }}/?q={{ From_Account }}", Builder{})
	if s, err := configOf(i).URL.Render(from("..")); err != nil || s != "https://a.example/v../?q=.." {
		t.Errorf("dots that are no segment: %q, %v", s, err)
	}
}

func TestURLAtLoad(t *testing.T) {
	secrets := environment(t, "HOOK", "https://hooks.slack.example/services/T0/B0/x", "PART", "T0/B0/x", "HASH", "a#b", "SPACED", "a b", "FTP", "ftp://x")
	for _, c := range []struct{ name, url, want string }{
		{"plain", "https://a.example", ""},
		{"a secret alone", "${env:HOOK}", ""},
		{"a secret in the path", "https://a.example/${env:PART}/{{ From_Account }}?k=${env:PART}", ""},
		{"a secret with a path after it", "${env:HOOK}/{{ From_Account }}", ""},
		{"an address and a port", "http://[::1]:8080/{{ From_Account }}", ""},
		{"a query right behind the host", "https://a.example?u={{ From_Account }}", ""},
		{"a template as the scheme", "'{{ OptPlatform }}://a.example/'", "2:10: the scheme and host of a URL take no template"},
		{"a template as the host", "https://{{ From_Account }}/", "2:17: the scheme and host of a URL take no template"},
		{"a template in the host", "https://{{ From_Account }}.a.example/", "2:17: the scheme and host of a URL take no template"},
		{"a template behind the host", "https://a.example{{ From_Account }}", "2:26: the scheme and host of a URL take no template"},
		{"a template as the port", "https://a.example:{{ PairIndex }}/", "the scheme and host of a URL take no template"},
		{"a template in the fragment", "https://a.example/#{{ From_Account }}", "2:28: the fragment of a URL takes no template"},
		{"another scheme", "ftp://a.example/", "a URL begins with http:// or https://"},
		{"no scheme", "a.example/x", "a URL begins with http:// or https://"},
		{"a file", "file:///etc/passwd", "a URL begins with http:// or https://"},
		{"no host", "https:///x", "the URL has no host"},
		{"a user", "https://u:p@a.example/", "Authorization header"},
		{"a port that is none", "https://a.example:99999/", "port is not from 1 to 65535"},
		{"half an escape before a template", "https://a.example/%{{ From_Account }}", "holds a % without two hexadecimal digits"},
		{"three quarters of one", "https://a.example/%2{{ From_Account }}", "holds a % without two hexadecimal digits"},
		{"a space", "https://a.example/a b", "holds a space"},
		{"a backslash", `https://a.example\b`, "holds a backslash"},
		{"dots", "https://a.example/a/../b", `a path segment of the URL is ".."`},
		{"encoded dots", "https://a.example/a/%2e%2E/b", `a path segment of the URL is "%2e%2E"`},
		{"empty", `""`, "the URL is empty"},
		{"a secret with a space", "https://a.example/?k=${env:SPACED}", "a secret of the URL holds a space"},
		{"a secret with a fragment before a template", "https://a.example/?k=${env:HASH}&u={{ From_Account }}", "fragment"},
		{"a secret of another scheme", "${env:FTP}", "a URL begins with http:// or https://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := build(t, "url: "+c.url, Builder{Secrets: secrets})
			if got := problems.Error(); got != "" && c.want == "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, value := range []string{"T0/B0", "a#b", "a b", "ftp://x"} {
				if strings.Contains(problems.Error(), value) && strings.Contains(c.url, "${") {
					t.Errorf("%q shows a secret", problems.Error())
				}
			}
		})
	}
	secrets.Ignore = true
	if _, problems := build(t, "url: ${env:NOT_SET}\nto: ['${env:NOT_SET}']", Builder{Secrets: secrets}); len(problems) > 0 {
		t.Errorf("with secrets ignored: %v", problems)
	}
}

func TestHeaderOfHostileAccounts(t *testing.T) {
	i := mustBuild(t, "header: 'from {{ From_Account }}'", Builder{})
	dead := []string{"CR LF", "CR", "LF", "NUL"}
	for name, account := range accounts() {
		t.Run(name, func(t *testing.T) {
			s, err := configOf(i).Header.Render(from(account))
			if slices.Contains(dead, name) != IsPermanent(err) {
				t.Fatalf("%q, %v", s, err)
			}
			if err == nil && s != "from "+account {
				t.Errorf("got %q", s)
			}
		})
	}
}

func TestAddressOfHostileAccounts(t *testing.T) {
	i := mustBuild(t, `to: ["{{ From_Account }}@users.example", "VIP {{ From_Account }} <ops@example.com>", '"{{ From_Account }}, really" <ops+{{ PairIndex }}@example.com>']`, Builder{})
	local := []string{"single quote", "longest", "half an escape", "encoded dots", "encoded dots, upper", "encoded word", "encoded slash", "query"}
	for name, account := range accounts() {
		t.Run(name, func(t *testing.T) {
			to := configOf(i).To
			s, err := to[0].Render(from(account))
			wellFormed := account == "2e" || !strings.ContainsAny(account, " \"\\<>()[]:;@,\r\n\x00\u2028\u2029\u202e") && slices.Contains(local, name)
			if wellFormed != (err == nil) || err != nil && !IsPermanent(err) {
				t.Fatalf("as the local part: %q, %v", s, err)
			}
			if err == nil && s != account+"@users.example" {
				t.Errorf("as the local part: %q", s)
			}
			checkDisplayName(t, to[1], account, "VIP "+account, "ops@example.com")
			checkDisplayName(t, to[2], account, account+", really", "ops+0@example.com")
		})
	}
}

// checkDisplayName parses the address back: the name is the author's text and the account, the address is the author's alone.
func checkDisplayName(t *testing.T, a Address, account, name, address string) {
	t.Helper()
	s, err := a.Render(from(account))
	if strings.ContainsAny(account, "\r\n\x00") {
		if !IsPermanent(err) {
			t.Errorf("as a name: %q, %v: want a permanent error", s, err)
		}
		return
	}
	if err != nil {
		t.Errorf("as a name: %v", err)
		return
	}
	list, err := mail.ParseAddressList(s)
	if err != nil || len(list) != 1 || list[0].Address != address || list[0].Name != name || strings.ContainsAny(s, "\r\n") {
		t.Errorf("as a name: %q gives %v, %v", s, list, err)
	}
}

func TestAddressAtLoad(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"ops@example.com", ""},
		{"Ops Team <ops@example.com>", ""},
		{"{{ From_Account }}@example.com", ""},
		{"user+{{ From_Account }}@example.com", ""},
		{"{{ From_Account }} <{{ To_Account }}@example.com>", ""},
		{"", "exactly one mail address"},
		{"ops", "exactly one mail address"},
		{"a@example.com, b@example.com", "exactly one mail address"},
		{"{{ From_Account }}", "the domain of a mail address takes no template"},
		{"{{ From_Account }}@{{ To_Account }}", "the domain of a mail address takes no template"},
		{"x@{{ From_Account }}.example", "the domain of a mail address takes no template"},
		{"a@b.example, {{ From_Account }}@b.example", "is one of user@example.com"},
		{"{{ From_Account }}@b.example, a@b.example", "is one of user@example.com"},
		{"{{ From_Account }}@b.example>", "has a < before it"},
		{"{{ From_Account }}@", "the domain of a mail address is a name"},
		{"{{ From_Account }}@a b", "the domain of a mail address is a name"},
	} {
		t.Run(c.src, func(t *testing.T) {
			_, problems := build(t, "to: ['"+c.src+"']", Builder{})
			if got := problems.Error(); got != "" && c.want == "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHTMLAtLoad(t *testing.T) {
	const here = "{{ From_Account }}"
	for _, c := range []struct{ name, html, want string }{
		{"text", "<p>" + here + "</p>", ""},
		{"text alone", here, ""},
		{"text after a lone <", "1 < 2 " + here, ""},
		{"text after a comment", "<!-- a > b -->" + here, ""},
		{"text after the shortest comment", "<!-->" + here, ""},
		{"text after a doctype", "<!DOCTYPE html>" + here, ""},
		{"text after a script", "<script>if (a<b) {}</script><p>" + here, ""},
		{"text after a style", "<STYLE>a{}</Style ><p>" + here, ""},
		{"double-quoted attribute", `<p title="` + here + `">`, ""},
		{"single-quoted attribute", `<p class='a' TITLE = 'x ` + here + `'>`, ""},
		{"data attribute", `<p data-user="` + here + `">`, ""},
		{"title element", "<title>" + here + "</title>", ""},
		{"between attributes that hold URLs", `<a href="https://a.example/?a=1&b=2" title="` + here + `">`, ""},
		{"unquoted attribute", "<p title=" + here + ">", "put the attribute's value in quotes"},
		{"unquoted attribute, begun", "<p title=a" + here + ">", "put the attribute's value in quotes"},
		{"href", `<a href="` + here + `">`, "the attribute href"},
		{"href, further on", `<a href="https://a.example/` + here + `">`, "the attribute href"},
		{"src", `<img alt="" SRC='` + here + `'>`, "the attribute src"},
		{"srcset", `<img srcset="` + here + `">`, "the attribute srcset"},
		{"formaction", `<button formaction="` + here + `">`, "the attribute formaction"},
		{"xlink:href", `<use xlink:href="` + here + `">`, "the attribute xlink:href"},
		{"data-url", `<p data-url="` + here + `">`, "the attribute data-url"},
		{"srcdoc", `<iframe srcdoc="` + here + `">`, "the attribute srcdoc"},
		{"meta content", `<meta http-equiv="refresh" content="0;` + here + `">`, "the attribute content"},
		{"style attribute", `<p style="color: ` + here + `">`, "the attribute style"},
		{"event handler", `<p onclick="f('` + here + `')">`, "the event handler onclick"},
		{"event handler after a slash", `<p/OnClick="` + here + `">`, "the event handler onclick"},
		{"tag name", "<" + here + ">", "no template can stand in a tag"},
		{"tag name, begun", "<p" + here + ">", "no template can stand in a tag"},
		{"end tag", "</" + here + ">", "no template can stand in a tag"},
		{"attribute name", "<p " + here + ">", "no template can stand in a tag"},
		{"attribute name, begun", "<p a" + here + `="1">`, "no template can stand in a tag"},
		{"after a quoted value", `<p title="a"` + here + ">", "no template can stand in a tag"},
		{"comment", "<!-- " + here + " -->", "comment or declaration"},
		{"comment that seems to end", "<!-- a > " + here + " -->", "comment or declaration"},
		{"doctype", "<!DOCTYPE " + here + ">", "comment or declaration"},
		{"processing instruction", "<?xml " + here + "?>", "comment or declaration"},
		{"bogus comment", "</ " + here + ">", "comment or declaration"},
		{"script", "<script>var a = '" + here + "'</script>", "inside a script element"},
		{"script that seems to end", "<script>'</scripty>" + here + "'</script>", "inside a script element"},
		{"after a script with a comment", "<script><!-- <script> </script>" + here, "can end in more than one place"},
		{"style", "<style>a { color: " + here + " }</style>", "inside a style element"},
		{"noscript", "<noscript>" + here + "</noscript>", "inside a noscript element"},
		{"iframe", "<iframe>" + here + "</iframe>", "inside a iframe element"},
		{"half an end tag in a title", "<title></title" + here, "no template can stand in a tag"},
		{"svg", "<svg><text>" + here + "</text></svg>", "inside svg or math"},
		{"text after svg", "<svg><path d='M0'/></svg>" + here, ""},
		{"title in svg that never ends", "<svg><title/></svg><a href=\"" + here, "no template can stand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := build(t, "html: |-\n  "+c.html, Builder{})
			got := problems.Error()
			if got != "" && c.want == "" || !strings.Contains(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if c.want != "" && len(problems) > 0 && (problems[0].Line != 3 || problems[0].Column != 3+strings.Index(c.html, "{{")+3) {
				t.Errorf("it is reported at %d:%d", problems[0].Line, problems[0].Column)
			}
		})
	}
}

// page has a template wherever one may stand.
const page = `<!DOCTYPE html><html><head><title>{{ From_Account }}</title><style>p>a{}</style></head><body>` +
	`<p class='{{ From_Account }}' title="{{ From_Account }}">{{ From_Account }}<b>x</b>{{ From_Account }}</p>` +
	`<!-- c --><a href="https://a.example/" data-user="u-{{ From_Account }}">&amp;{{ From_Account }}</a><textarea>{{ From_Account }}</textarea></body></html>`

func TestHTMLOfHostileAccounts(t *testing.T) {
	i := mustBuild(t, "html: |-\n  "+page, Builder{})
	for name, account := range accounts() {
		t.Run(name, func(t *testing.T) {
			s, err := configOf(i).HTML.Render(from(account))
			if err != nil {
				t.Fatal(err)
			}
			checkHTML(t, s, account)
		})
	}
}

// checkHTML parses the page back: its elements and the names of their attributes are those of the page with a harmless account,
// and the account stands as text where it was put.
func checkHTML(t *testing.T, s, account string) {
	t.Helper()
	shape, texts := outline(t, s)
	want, _ := outline(t, strings.ReplaceAll(page, "{{ From_Account }}", "harmless"))
	if diff := cmp.Diff(want, shape); diff != "" {
		t.Errorf("another structure:\n%s", diff)
	}
	// The parser makes one line break of CR LF and CR, and drops one at the start of a textarea.
	plain := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD").Replace(account)
	for at, text := range map[string]string{"title": plain, "p@class": plain, "p@title": plain, "a@data-user": "u-" + plain, "a": "&" + plain} {
		if texts[at] != text {
			t.Errorf("%s is %q, want %q", at, texts[at], text)
		}
	}
}

// outline gives the elements, comments and attribute names of a page in order, and the texts by element or element@attribute.
func outline(t *testing.T, s string) (shape []string, texts map[string]string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	for n := range root.Descendants() {
		switch n.Type {
		case html.ElementNode:
			shape = append(shape, "<"+n.Data+">")
			for _, a := range n.Attr {
				shape = append(shape, "@"+a.Key)
				texts[n.Data+"@"+a.Key] = a.Val
			}
		case html.TextNode:
			texts[n.Parent.Data] += n.Data
		default:
			shape = append(shape, "other "+n.Data)
		}
	}
	return shape, texts
}

func TestTreeOfHostileAccounts(t *testing.T) {
	i := mustBuild(t, "tree: {whole: '{{ From_Account }}', part: 'u: {{ From_Account }}', list: ['{{ From_Account }}']}", Builder{})
	for name, account := range accounts() {
		t.Run(name, func(t *testing.T) {
			got, err := configOf(i).Tree.Render(from(account))
			want := map[string]any{"whole": account, "part": "u: " + account, "list": []any{account}}
			if diff := cmp.Diff(any(want), got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func seeds(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(accounts())) {
		f.Add(accounts()[name])
	}
}

func FuzzURL(f *testing.F) {
	seeds(f)
	i := mustBuild(f, "url: https://hooks.example:8443/v1/{{ From_Account }}/end?u={{ From_Account }}&n=1", Builder{})
	f.Fuzz(func(t *testing.T, account string) {
		s, err := configOf(i).URL.Render(from(account))
		if account == "" || account == "." || account == ".." {
			if account != "" && !IsPermanent(err) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkURLValues(t, s, account)
	})
}

func FuzzHeader(f *testing.F) {
	seeds(f)
	i := mustBuild(f, "header: '{{ From_Account }}'\nto: ['{{ From_Account }}@users.example', '{{ From_Account }} <ops@example.com>']", Builder{})
	f.Fuzz(func(t *testing.T, account string) {
		s, err := configOf(i).Header.Render(from(account))
		if broken := strings.ContainsAny(account, "\r\n\x00"); broken != IsPermanent(err) || !broken && s != account {
			t.Errorf("header: %q, %v", s, err)
		}
		for at, domain := range []string{"@users.example", "ops@example.com"} {
			s, err := configOf(i).To[at].Render(from(account))
			if err != nil {
				if !IsPermanent(err) {
					t.Error(err)
				}
				continue
			}
			list, err := mail.ParseAddressList(s)
			if err != nil || len(list) != 1 || !strings.HasSuffix(list[0].Address, domain) || strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("address: %q gives %v, %v", s, list, err)
			}
		}
	})
}

// FuzzHTML puts any account into any page that loads: the page's structure stays what it is with a harmless account.
func FuzzHTML(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(accounts())) {
		f.Add(`<p title="`, `">`, accounts()[name])
		f.Add(`<title>`, `</title>`, accounts()[name])
		f.Add(`<script>a</script><p>`, ``, accounts()[name])
	}
	f.Add(" ", "</<", " ")
	f.Fuzz(func(t *testing.T, before, after, account string) {
		if account == "" || strings.Contains(before+after, "{{") || strings.ContainsAny(before+after, "\x00\r") {
			return
		}
		var s htmlScanner
		s.read(before)
		if s.template() != nil {
			return
		}
		got, _ := outline(t, before+htmlEscaper.Replace(account)+after)
		want, _ := outline(t, before+"x"+after)
		if strings.Trim(account, " \t\n\f\r") == "" {
			// White space alone doesn't open the body, or leave it: there the page may be as without an account.
			if bare, _ := outline(t, before+after); slices.Equal(bare, got) {
				return
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q + %q + %q: another structure:\n%s", before, account, after, diff)
		}
	})
}
