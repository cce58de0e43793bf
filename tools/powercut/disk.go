package main

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// page is what a disk writes whole or not at all.
const page = 4096

// disk is what is stored: as the processes see it, and as it is synced.
type disk struct {
	lie, strict bool
	bound       atomic.Int64 // bytes that fit; 0 for any number
	readOnly    atomic.Bool
	delay       atomic.Int64 // of a write and a sync, in nanoseconds

	mu   sync.Mutex
	root *inode
	next uint64
	used int64
	dirs map[*inode]bool // whose entries are not synced
}

// inode is a file or a folder.
type inode struct {
	number uint64
	mode   uint32

	data, synced []byte // of a file
	dirty        bool

	dir                   bool
	entries, syncedBefore map[string]*inode // of a folder
}

func (d *disk) newInode(mode uint32) *inode {
	d.next++
	return &inode{number: d.next, mode: mode}
}

func (d *disk) newDir() *inode {
	i := d.newInode(0o700)
	i.dir, i.entries, i.syncedBefore = true, map[string]*inode{}, map[string]*inode{}
	return i
}

// changed takes down that the entries of a folder are not synced.
func (d *disk) changed(i *inode) {
	if d.dirs == nil {
		d.dirs = map[*inode]bool{}
	}
	d.dirs[i] = true
}

// sync brings an inode to the disk.
func (d *disk) sync(i *inode) {
	if d.lie {
		return
	}
	if i.dirty {
		i.synced, i.dirty = append(i.synced[:0], i.data...), false
	}
	for dir := range d.dirs {
		if !d.strict || dir == i {
			dir.syncedBefore = maps.Clone(dir.entries)
			delete(d.dirs, dir)
		}
	}
}

// load reads a folder of the real file system.
func (d *disk) load(from string, to *inode) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(from, e.Name())
		info, err := e.Info()
		if err != nil {
			return err
		}
		var i *inode
		switch {
		case e.IsDir():
			i = d.newDir()
			if err := d.load(path, i); err != nil {
				return err
			}
		case e.Type().IsRegular():
			i = d.newInode(uint32(info.Mode().Perm()))
			if i.data, err = os.ReadFile(path); err != nil {
				return err
			}
			i.synced = append([]byte(nil), i.data...)
			d.used += int64(len(i.data))
		default:
			continue // a socket, say
		}
		to.entries[e.Name()] = i
	}
	to.syncedBefore = maps.Clone(to.entries)
	return nil
}

// cut writes to a folder of the real file system what a power cut leaves.
func (d *disk) cut(folder string, seed uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := rand.New(rand.NewPCG(seed, 1))
	old, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range old {
		err = errors.Join(err, os.RemoveAll(filepath.Join(folder, e.Name())))
	}
	return errors.Join(err, left(folder, d.root, r))
}

func left(to string, i *inode, r *rand.Rand) error {
	for name, child := range i.syncedBefore {
		path := filepath.Join(to, name)
		var err error
		if child.dir {
			if err = os.Mkdir(path, 0o700); err == nil {
				err = left(path, child, r)
			}
		} else {
			err = os.WriteFile(path, child.left(r), os.FileMode(child.mode&0o777))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// left gives what is left of a file: the synced content, with a random choice of the pages that were written since.
func (i *inode) left(r *rand.Rand) []byte {
	if !i.dirty || r.IntN(2) == 0 {
		return i.synced
	}
	size := len(i.synced)
	if more := len(i.data) - size; more > 0 {
		size += r.IntN(more + 1)
	} else if r.IntN(2) == 0 {
		size = len(i.data) // it was cut, and that reached the disk
	}
	out := make([]byte, size) // a page of which only the size reached the disk is zero
	copy(out, i.synced)
	for at := 0; at < size; at += page {
		if r.IntN(2) == 0 && at < len(i.data) {
			copy(out[at:min(at+page, size)], i.data[at:min(at+page, len(i.data))])
		}
	}
	return out
}
