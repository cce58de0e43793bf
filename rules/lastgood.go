package rules

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// The last good set is kept as a folder: lastGoodFile holds the rules files as they were, behind a line with the format's version
// and a checksum; each list file lies beside it, named by its own sum, so that a long list is written only when it changes.
// Secrets are not in it: they are put in when it is loaded.
const (
	lastGoodFile    = "rules.json"
	lastGoodVersion = 1
	listPrefix      = "list-"
)

// kept is the body of lastGoodFile. Its fields are stored: add to them, never change or take away.
type kept struct {
	SavedAt time.Time  `json:"saved_at"`
	Hash    string     `json:"hash"` // of the rule set
	Files   []keptFile `json:"files"`
	Lists   []keptList `json:"lists,omitempty"`
}

type keptFile struct {
	Name   string `json:"name"` // as problems name it
	Rel    string `json:"rel"`  // below the rules folder
	Path   string `json:"path"` // relative to the first root
	SHA256 string `json:"sha256"`
	Text   string `json:"text"`
}

type keptList struct {
	Path   string `json:"path"` // relative to the first root
	SHA256 string `json:"sha256"`
}

// saveLastGood writes the snapshot that set was made of. What was there before stays until the new is on stable storage.
func saveLastGood(dir, base string, s *snapshot, set *RuleSet) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	k := kept{SavedAt: set.LoadedAt.UTC(), Hash: set.Hash}
	for _, f := range s.files {
		k.Files = append(k.Files, keptFile{Name: f.name, Rel: f.rel, Path: relative(base, f.path), SHA256: hex.EncodeToString(f.sum[:]), Text: string(f.data)})
	}
	keep := []string{lastGoodFile}
	for _, l := range set.lists {
		if l.path == "" {
			continue
		}
		sum := hex.EncodeToString(l.sum[:])
		k.Lists = append(k.Lists, keptList{Path: relative(base, l.path), SHA256: sum})
		if slices.Contains(keep, listPrefix+sum) {
			continue
		}
		keep = append(keep, listPrefix+sum)
		if err := writeOnce(filepath.Join(dir, listPrefix+sum), s.reader.read(l.path).data); err != nil {
			return err
		}
	}
	body, err := json.Marshal(k)
	if err != nil {
		return err
	}
	header := fmt.Sprintf("aftermath last good rules %d %08x %d\n", lastGoodVersion, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), len(body))
	if err := writeSynced(filepath.Join(dir, lastGoodFile), append([]byte(header), body...)); err != nil {
		return err
	}
	return removeOthers(dir, keep)
}

func writeOnce(path string, data []byte) error {
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(data)) {
		return nil
	}
	return writeSynced(path, data)
}

// writeSynced replaces a file by one that only its owner may read, and returns when it is on stable storage.
func writeSynced(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o600)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeOthers takes away lists that the last good set no longer names.
func removeOthers(dir string, keep []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), listPrefix) && !slices.Contains(keep, e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// loadLastGood reads the last good set as the snapshot that it was made of. The error is fs.ErrNotExist where none was ever kept.
func (l *Loader) loadLastGood(dir string) (*snapshot, error) {
	base, err := l.base()
	if err != nil {
		return nil, err
	}
	k, err := readLastGood(filepath.Join(dir, lastGoodFile))
	if err != nil {
		return nil, err
	}
	roots := resolveAll(l.Roots)
	s := &snapshot{folders: roots, reader: newReader(slices.Concat(roots, resolveAll(l.Permit.Files)), usualBounds.inputs)}
	for _, f := range k.Files {
		sum := sha256.Sum256([]byte(f.Text))
		if hex.EncodeToString(sum[:]) != f.SHA256 {
			return nil, fmt.Errorf("the kept copy of %s is damaged", f.Name)
		}
		s.files = append(s.files, source{name: f.Name, rel: f.Rel, path: absolute(base, f.Path), data: []byte(f.Text), sum: sum})
	}
	s.reader.given = map[string][]byte{}
	for _, list := range k.Lists {
		data, err := os.ReadFile(filepath.Join(dir, listPrefix+filepath.Base(list.SHA256)))
		if err != nil {
			return nil, fmt.Errorf("the kept copy of the list file %s: %w", list.Path, cause(err))
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != list.SHA256 {
			return nil, fmt.Errorf("the kept copy of the list file %s is damaged", list.Path)
		}
		s.reader.given[absolute(base, list.Path)] = data
	}
	return s, nil
}

func readLastGood(path string) (*kept, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	header, body, _ := bytes.Cut(data, []byte("\n"))
	var version, length int
	var sum uint32
	if _, err := fmt.Sscanf(string(header), "aftermath last good rules %d %x %d", &version, &sum, &length); err != nil {
		return nil, fmt.Errorf("%s is damaged: it does not begin as it should", path)
	}
	if version != lastGoodVersion {
		return nil, fmt.Errorf("%s is of version %d, which this release cannot read", path, version)
	}
	if len(body) != length || crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, fmt.Errorf("%s is damaged: its checksum does not hold", path)
	}
	k := &kept{}
	if err := json.Unmarshal(body, k); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return k, nil
}

// relative makes a path relative to base where it can, so that the whole may move.
func relative(base, path string) string {
	if rel, err := filepath.Rel(base, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

func absolute(base, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}
