package cmd

import (
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aftermath-rules/aftermath/internal/adminclient"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/secrets"
)

// serveFlags say which serve to ask.
type serveFlags struct{ url, token string }

func (a *serveFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&a.url, "admin", "", "the `URL` of the admin port (default: the configuration's admin.listen)")
	flags.StringVar(&a.token, "token", "", "its token (default: the environment variable AFTERMATH_ADMIN_TOKEN, or the configuration's admin.token)")
}

// client makes a client of the serve that the flags name, or else the configuration. It reads no secret but the admin token, and not
// that where the flags or the environment have one.
func (a *serveFlags) client(cmd *cobra.Command, path string) (*adminclient.Client, error) {
	url, token := a.url, a.token
	if token == "" {
		token = os.Getenv("AFTERMATH_ADMIN_TOKEN")
	}
	if url == "" || token == "" && a.url == "" {
		cfg, err := adminConfig(path, token == "")
		if err != nil {
			return nil, problemsError(cmd.ErrOrStderr(), err)
		}
		if url == "" {
			if url, err = adminAddress(cfg); err != nil {
				return nil, err
			}
		}
		if token == "" {
			token = cfg.Admin.Token.Reveal()
		}
	}
	client, err := adminclient.New(url, token)
	if err != nil {
		return nil, usageErrorf("--admin: %w", err)
	}
	return client, nil
}

// adminConfig reads a configuration with the secrets that the admin port's address is made of and, where it is needed, its token.
func adminConfig(path string, needsToken bool) (*config.Config, error) {
	if !needsToken {
		cfg, err := config.Load(path, config.IgnoreSecrets())
		if err != nil || !strings.Contains(cfg.Admin.Listen, secrets.Placeholder) {
			return cfg, err
		}
	}
	return config.Load(path, config.SecretsOf("admin"))
}

// adminAddress is how this machine reaches the admin port that a configuration says.
func adminAddress(cfg *config.Config) (string, error) {
	host, port, err := net.SplitHostPort(cfg.Admin.Listen)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", failuref("admin.listen of %s leaves the port to the system: name the one that serve printed with --admin", cfg.Path)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
