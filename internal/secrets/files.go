package secrets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is how many bytes a file read by ReadFile may have: a bundle of all public certificate authorities is a quarter of it.
const maxFile = 1 << 20

func (r *Resolver) file(name string) (string, error) {
	name, real, err := r.locate(name)
	if err != nil {
		return "", err
	}
	return r.once("file:"+name, func() (string, error) {
		data, err := readRegular(real, MaxSize)
		if err != nil {
			return "", err
		}
		// What editors add at both ends is no part of the secret.
		value := strings.TrimRight(strings.TrimPrefix(string(data), "\uFEFF"), "\r\n")
		if value == "" {
			return "", errors.New("the file is empty")
		}
		if strings.ContainsRune(value, 0) {
			return "", errors.New("the file holds a NUL byte")
		}
		return value, nil
	})
}

// ReadFile gives a whole file that is no secret to be put in, such as a certificate, under the same rules: only from where Files
// allows, only a regular one, and Used names it. It may have 1 MiB.
func (r *Resolver) ReadFile(name string) ([]byte, error) {
	name, real, err := r.locate(name)
	if err != nil {
		return nil, err
	}
	r.ask("file:" + name)
	return readRegular(real, maxFile)
}

// locate gives the absolute path of a file that may be used, and where it really is after all links.
func (r *Resolver) locate(name string) (path, real string, err error) {
	if path, err = r.absolute(name); err != nil {
		return "", "", err
	}
	// A file that is not there is not allowed or missing by its path alone.
	if real, err = filepath.EvalSymlinks(path); err != nil || r.Ignore {
		real = path
	}
	if !r.mayRead(real) {
		return "", "", errors.New("not allowed: the file is not in a folder that rules_may.files names, or is a link out of it")
	}
	return path, real, nil
}

func (r *Resolver) absolute(name string) (string, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(r.Dir, name)
	}
	return filepath.Abs(name)
}

// mayRead tells that a path lies below one of the folders. Links within a folder, as Kubernetes mounts have them, stay below it
// after they are followed; those that lead out do not.
func (r *Resolver) mayRead(real string) bool {
	if r.Files == nil {
		return true
	}
	for _, folder := range r.Files {
		folder, err := r.absolute(folder)
		if err != nil {
			continue
		}
		if below(folder, real) {
			return true
		}
		if folder, err = filepath.EvalSymlinks(folder); err == nil && below(folder, real) {
			return true
		}
	}
	return false
}

func below(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// readRegular reads a file of at most limit bytes. It opens nothing but regular files: a pipe would make it wait.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, reason(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("the file is larger than %d KiB", limit>>10)
	}
	return data, nil
}

// reason is an error without the path, which the one who reads it has written.
func reason(err error) error {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the file does not exist")
	case errors.As(err, &p):
		return p.Err
	}
	return err
}
