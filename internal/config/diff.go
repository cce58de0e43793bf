package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// live are the keys whose change applies to a process that runs, with all keys below them: what Applied takes over. A mail
// server's settings are lent to actions, and so apply when the rules are compiled again.
func live(key string) bool {
	for _, prefix := range []string{"callback.apps", "callback.tls", "admin.token", "log.level", "smtp"} {
		if key == prefix || strings.HasPrefix(key, prefix+".") || strings.HasPrefix(key, prefix+"[") {
			return true
		}
	}
	return false
}

// turnsHTTPS tells whether the callback port changes from HTTP to HTTPS, or back: that is no file of certificates, but another server.
func turnsHTTPS(old, new *Config) bool {
	return (old.Callback.TLS.Cert == "") != (new.Callback.TLS.Cert == "")
}

// Applied gives old with new's values of all keys that Diff calls live: how a process is configured that has taken them over.
func Applied(old, new *Config) *Config {
	c := *old
	c.Callback.Apps, c.Admin.Token, c.Log.Level, c.SMTP = new.Callback.Apps, new.Admin.Token, new.Log.Level, new.SMTP
	if !turnsHTTPS(old, new) {
		c.Callback.TLS, c.sources.pem = new.Callback.TLS, new.sources.pem
	}
	return &c
}

// Diff names the keys in which two configurations differ: those that can be applied to a running process, and those that need a
// restart. A certificate whose file has new content differs, as does a secret; neither is shown.
func Diff(old, new *Config) (live, restart []string) {
	d := differ{}
	d.structs("", reflect.ValueOf(*old), reflect.ValueOf(*new))
	if !maps.Equal(old.sources.pem, new.sources.pem) {
		d.note("callback.tls")
	}
	if turnsHTTPS(old, new) {
		d.live = slices.DeleteFunc(d.live, func(key string) bool { return strings.HasPrefix(key, "callback.tls") })
		d.restart = append(d.restart, "callback.tls")
	}
	return d.live, d.restart
}

type differ struct{ live, restart []string }

func (d *differ) note(key string) {
	list := &d.restart
	if live(key) {
		list = &d.live
	}
	if !slices.Contains(*list, key) {
		*list = append(*list, key)
	}
}

// structs compares the configuration fields of two values of one struct type.
func (d *differ) structs(prefix string, a, b reflect.Value) {
	for i := range a.NumField() {
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("yaml"), ",")
		x, y := a.Field(i), b.Field(i)
		switch {
		case name == "" || name == "-":
		case x.Type() == reflect.TypeFor[[]App]():
			d.apps(prefix+name, x.Interface().([]App), y.Interface().([]App))
		case x.Kind() == reflect.Struct && x.Type().NumField() > 0 && x.Type().Field(0).Tag.Get("yaml") != "":
			d.structs(prefix+name+".", x, y)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			d.note(prefix + name)
		}
	}
}

// apps compares the apps by their numbers: their order means nothing.
func (d *differ) apps(key string, a, b []App) {
	tokens := map[int64]App{}
	for _, app := range a {
		tokens[app.SdkAppid] = app
	}
	same := len(a) == len(b)
	for _, app := range b {
		before, ok := tokens[app.SdkAppid]
		same = same && ok
		if ok && !slices.Equal(before.Tokens, app.Tokens) {
			d.note(fmt.Sprintf("%s[%d].tokens", key, app.SdkAppid))
		}
	}
	if !same {
		d.note(key)
	}
}
