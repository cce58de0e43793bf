package logentry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Files opens rotated files below one folder, and nowhere else: neither a path with .. nor a link leads out of it. A file is opened
// once, however many name it, and closed with the last of them. It is safe for concurrent use.
type Files struct {
	dir string

	mu     sync.Mutex
	root   *os.Root // opened with the first file
	open   map[string]*rotated
	closed bool
}

// NewFiles makes Files for a folder. The folder is made, with mode 0700, when the first file is opened.
func NewFiles(dir string) *Files { return &Files{dir: dir, open: map[string]*rotated{}} }

// Open opens the file at path for appending, and makes it and the folders above it (modes 0600 and 0700) where they are missing.
// A relative path is relative to the folder. When a write would make the file larger than maxSize bytes, it is renamed to
// path.1, what was path.1 to path.2 and so on; maxFiles renamed ones are kept. Where a file is open already, the limits given
// last hold. A write is whole or an error; what a failed one left behind is cut off again.
func (f *Files) Open(path string, maxSize int64, maxFiles int) (io.WriteCloser, error) {
	name, err := f.inside(path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fmt.Errorf("log file %s: the program is stopping", path)
	}
	if err := f.openRoot(); err != nil {
		return nil, fmt.Errorf("log file %s: %w", path, err)
	}
	r, ok := f.open[name]
	if !ok {
		r = &rotated{root: f.root, name: name}
		if err := r.reopen(); err != nil {
			return nil, err
		}
		f.open[name] = r
	}
	r.limit(maxSize, maxFiles)
	r.users++
	return &handle{files: f, rotated: r}, nil
}

// inside gives the path relative to the folder.
func (f *Files) inside(path string) (string, error) {
	name := filepath.Clean(path)
	if filepath.IsAbs(name) {
		dir, err := filepath.Abs(f.dir)
		if err != nil {
			return "", fmt.Errorf("log file %s: %w", path, err)
		}
		if name, err = filepath.Rel(dir, name); err != nil {
			return "", fmt.Errorf("log file %s: %w", path, err)
		}
	}
	if !filepath.IsLocal(name) || name == "." {
		return "", fmt.Errorf("log file %s: it is not below the first folder of rules_may.files", path)
	}
	return name, nil
}

func (f *Files) openRoot() error {
	if f.root != nil {
		return nil
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.dir)
	f.root = root
	return err
}

// release takes back one use of a file.
func (f *Files) release(r *rotated) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.users--
	if r.users > 0 || f.open[r.name] != r {
		return nil
	}
	delete(f.open, r.name)
	return r.close()
}

// Close closes every file. What is still open gives errors from then on.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var errs []error
	for name, r := range f.open {
		errs = append(errs, r.close())
		delete(f.open, name)
	}
	if f.root != nil {
		errs = append(errs, f.root.Close())
		f.root = nil
	}
	return errors.Join(errs...)
}

// handle is one user's share of a file.
type handle struct {
	files   *Files
	rotated *rotated
	once    sync.Once
	err     error
}

func (h *handle) Write(p []byte) (int, error) { return h.rotated.Write(p) }

func (h *handle) Close() error {
	h.once.Do(func() { h.err = h.files.release(h.rotated) })
	return h.err
}

// rotated is one open file.
type rotated struct {
	root  *os.Root
	name  string
	users int // guarded by Files.mu

	mu       sync.Mutex
	file     *os.File // nil where opening it anew failed; the next write tries again
	closed   bool
	maxSize  int64
	maxFiles int
}

func (r *rotated) limit(maxSize int64, maxFiles int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxSize, r.maxFiles = maxSize, maxFiles
}

// Write appends p as a whole.
func (r *rotated) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, err := r.ready()
	if err != nil {
		return 0, err
	}
	if size > 0 && size+int64(len(p)) > r.maxSize {
		if err := r.rotate(); err != nil {
			return 0, err
		}
		size = 0
	}
	n, err := r.file.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if n > 0 {
			err = errors.Join(err, r.file.Truncate(size)) // half a line would spoil the next one
		}
		_ = r.file.Close() // the write's error is the one that says something
		r.file = nil
		return 0, r.failed(err)
	}
	return n, nil
}

// ready makes sure that the file which is open is the one that people see under its name, and gives its size: somebody may have
// moved or removed it.
func (r *rotated) ready() (int64, error) {
	if r.closed {
		return 0, r.failed(fs.ErrClosed)
	}
	if r.file != nil {
		seen, err := r.root.Stat(r.name)
		mine, mineErr := r.file.Stat()
		if err == nil && mineErr == nil && os.SameFile(seen, mine) {
			return mine.Size(), nil
		}
	}
	if err := r.reopen(); err != nil {
		return 0, err
	}
	info, err := r.file.Stat()
	if err != nil {
		return 0, r.failed(err)
	}
	return info.Size(), nil
}

// reopen opens the file under its name. What is there and no regular file is refused before it is opened: opening a pipe would wait.
func (r *rotated) reopen() error {
	if r.file != nil {
		_ = r.file.Close() // it is no longer the one under the name, and each write to it has reported its own errors
		r.file = nil
	}
	if info, err := r.root.Stat(r.name); err == nil && !info.Mode().IsRegular() {
		return r.failed(errors.New("it is not a regular file"))
	}
	if dir := filepath.Dir(r.name); dir != "." {
		if err := r.root.MkdirAll(dir, 0o700); err != nil {
			return r.failed(err)
		}
	}
	file, err := r.root.OpenFile(r.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return r.failed(err)
	}
	r.file = file
	return nil
}

// rotate moves the file and those before it up by one, drops the last, and begins a new one.
func (r *rotated) rotate() error {
	numbered := func(i int) string { return fmt.Sprintf("%s.%d", r.name, i) }
	for i := r.maxFiles; i > 0; i-- {
		from := r.name
		if i > 1 {
			from = numbered(i - 1)
		}
		if err := r.root.Rename(from, numbered(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r.failed(err)
		}
	}
	return r.reopen()
}

func (r *rotated) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// failed names the file in an error.
func (r *rotated) failed(err error) error {
	if strings.Contains(err.Error(), "path escapes from parent") {
		err = errors.New("a link on its way leads out of the first folder of rules_may.files")
	}
	return fmt.Errorf("log file %s: %w", r.name, err)
}
