package cmd

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/internal/config"
)

// logFolder is where log actions write; "" for nowhere.
func logFolder(cfg *config.Config) string {
	if len(cfg.RulesMay.Files) == 0 {
		return ""
	}
	return cfg.RulesMay.Files[0]
}

// logFiles opens the files of log actions.
func logFiles(cfg *config.Config, files *logentry.Files) func(path string, maxSize int64, maxFiles int) (io.WriteCloser, error) {
	return func(path string, maxSize int64, maxFiles int) (io.WriteCloser, error) {
		if logFolder(cfg) == "" {
			return nil, actions.Permanent(errors.New("rules_may.files names no folder that log actions may write below"))
		}
		return files.Open(path, maxSize, maxFiles)
	}
}

// lives says what the program lives by at the path of a log file: by default all of it lies in the folder that log actions write below,
// and a slip of whoever writes a rule may not damage it.
func lives(cfg *config.Config, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(logFolder(cfg), path)
	}
	ext := filepath.Ext(path)
	switch {
	case isBelow(path, cfg.Data):
		return "it lies in the data folder"
	case isBelow(path, cfg.Rules) && (ext == ".yaml" || ext == ".yml"):
		return "it is a rules file"
	}
	for _, file := range cfg.Files() {
		if isBelow(path, file) {
			return "the configuration is made of it"
		}
	}
	return ""
}
