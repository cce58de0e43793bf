package rules

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Permit is what rules files may use: the rules_may of the configuration.
type Permit struct {
	Env           []string                 // patterns of environment variables, "*" for any
	DenyEnv       []string                 // variables that may not be used, whatever Env says
	Files         []string                 // folders; files below the rules folder may always be used
	Logs          func(path string) string // says why log actions may not write to a path, or ""; nil where that is not known
	IgnoreSecrets bool                     // put a placeholder for every secret: for check --secrets ignore
	SecretsOf     string                   // where not empty, put a placeholder for every secret but those of the action of this name
}

// reader reads the files that rules files name, each once, so that a set is made of one state of each.
type reader struct {
	may   []string // resolved folders that may be read
	left  int64    // how many bytes may still be read
	limit int64    // of them at first
	given map[string][]byte
	cache map[string]*input
}

// input is a file that rules files name, as it was read.
type input struct {
	data []byte
	sum  [sha256.Size]byte
	err  error
}

func newReader(may []string, limit int64) *reader {
	return &reader{may: may, left: limit, limit: limit, cache: map[string]*input{}}
}

// read gives the file at an absolute path, if it lies in a folder that may be read once all links are followed.
func (r *reader) read(path string) *input {
	if in := r.cache[path]; in != nil {
		return in
	}
	in := &input{}
	if data, ok := r.given[path]; ok {
		in.data = data
	} else {
		in.data, in.err = r.load(path)
	}
	if in.err == nil {
		in.sum = sha256.Sum256(in.data)
	}
	r.cache[path] = in
	return in
}

func (r *reader) load(path string) ([]byte, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no such file")
	}
	if err != nil {
		return nil, cause(err)
	}
	i := slices.IndexFunc(r.may, func(dir string) bool { return inside(dir, real) })
	if i < 0 {
		return nil, errors.New("lies outside of the rules folder and of the folders that rules_may.files names")
	}
	below, err := filepath.Rel(r.may[i], real)
	if err != nil {
		return nil, err
	}
	data, err := readBelow(r.may[i], below, maxInputFile)
	if r.left -= int64(len(data)); r.left < 0 {
		return nil, fmt.Errorf("with it the files that rules name are larger than %d MiB in all", r.limit>>20)
	}
	return data, err
}

// print gives what tells one content of an input from another, for inputs of every kind: a secret may lie where no list may.
func (r *reader) print(path string) string {
	if in := r.cache[path]; in != nil {
		return in.print()
	}
	in := &input{}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		in.data, err = readBelow(filepath.Dir(real), filepath.Base(real), maxInputFile)
	}
	if in.err = err; err == nil {
		in.sum = sha256.Sum256(in.data)
	}
	return in.print()
}

func (in *input) print() string {
	if in.err != nil {
		return "error"
	}
	return fmt.Sprintf("%x", in.sum)
}
