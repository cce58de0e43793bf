package actions

import (
	"crypto/sha256"
	"encoding/binary"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/lang"
)

// fingerprint tells apart what an action is configured to be: its name, its type and all that its node says.
type fingerprint [sha256.Size]byte

func newFingerprint(typ, name string, n *yaml.Node) fingerprint {
	text := appendString(make([]byte, 0, 1024), typ)
	text = appendString(text, name)
	return sha256.Sum256(appendNode(text, n))
}

// appendNode takes in all of a node that a decoder may look at: comments and style too, since they can be errors.
func appendNode(text []byte, n *yaml.Node) []byte {
	text = append(text, byte(n.Kind))
	text = binary.AppendUvarint(text, uint64(n.Style))
	text = binary.AppendUvarint(text, uint64(len(n.Content)))
	text = appendString(text, n.Tag)
	text = appendString(text, n.Value)
	text = appendString(text, n.LineComment)
	for _, child := range n.Content {
		text = appendNode(text, child)
	}
	return text
}

func appendString(text []byte, s string) []byte {
	return append(binary.AppendUvarint(text, uint64(len(s))), s...)
}

// inputs are all that an action was made of. As long as they are the same, so is the action.
type inputs struct {
	print   fingerprint
	smtp    SMTP                         // that it was lent
	secrets map[string][sha256.Size]byte // what strings with secrets came to
	files   map[string][sha256.Size]byte // the contents of files that New read
	lists   map[string]*lang.List        // by name, those that templates use
}

// same tells whether an action made now, of a node that says the same, would be made of the same.
func (in *inputs) same(b Builder) bool {
	if in.smtp != b.Env.SMTP || !sameSecrets(in.secrets, b.Secrets) {
		return false
	}
	for name, list := range in.lists {
		if b.Scope.Lists[name] != list {
			return false
		}
	}
	for path, sum := range in.files {
		data, err := b.Env.ReadFile(path)
		if err != nil || sha256.Sum256(data) != sum {
			return false
		}
	}
	return true
}

// fileLog reads files and notes what was in them.
type fileLog struct {
	readFile func(string) ([]byte, error)
	hashes   map[string][sha256.Size]byte
}

func newFileLog(readFile func(string) ([]byte, error)) *fileLog {
	return &fileLog{readFile: readFile}
}

func (l *fileLog) read(path string) ([]byte, error) {
	if l.readFile == nil {
		return nil, errNoFiles
	}
	data, err := l.readFile(path)
	if err == nil {
		if l.hashes == nil {
			l.hashes = map[string][sha256.Size]byte{}
		}
		l.hashes[path] = sha256.Sum256(data)
	}
	return data, err
}
