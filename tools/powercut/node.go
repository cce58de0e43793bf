package main

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node shows an inode to the kernel.
type node struct {
	fs.Inode
	d *disk
	i *inode
}

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
)

func (n *node) attr(a *fuse.Attr) {
	a.Ino, a.Mode, a.Nlink = n.i.number, n.i.mode|syscall.S_IFREG, 1
	if n.i.dir {
		a.Mode = n.i.mode | syscall.S_IFDIR
	}
	a.Size = uint64(len(n.i.data))
	a.Blocks = (a.Size + 511) / 512
	a.Blksize = page
}

// show makes the kernel's inode of one.
func (n *node) show(ctx context.Context, i *inode, out *fuse.EntryOut) *fs.Inode {
	child := &node{d: n.d, i: i}
	child.attr(&out.Attr)
	return n.NewInode(ctx, child, fs.StableAttr{Mode: out.Mode & syscall.S_IFMT, Ino: i.number})
}

// change runs f, which changes the disk, unless that is read-only.
func (n *node) change(f func() syscall.Errno) syscall.Errno {
	time.Sleep(time.Duration(n.d.delay.Load()))
	if n.d.readOnly.Load() {
		return syscall.EROFS
	}
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	return f()
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	i := n.i.entries[name]
	if i == nil {
		return nil, syscall.ENOENT
	}
	return n.show(ctx, i, out), 0
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	var all []fuse.DirEntry
	for name, i := range n.i.entries {
		mode := uint32(syscall.S_IFREG)
		if i.dir {
			mode = syscall.S_IFDIR
		}
		all = append(all, fuse.DirEntry{Name: name, Ino: i.number, Mode: mode})
	}
	return fs.NewListDirStream(all), 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.attr(&out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.change(func() syscall.Errno {
		if mode, ok := in.GetMode(); ok {
			n.i.mode = mode & 0o7777
		}
		if size, ok := in.GetSize(); ok {
			if errno := n.resize(int(size)); errno != 0 {
				return errno
			}
			n.i.dirty = true
		}
		n.attr(&out.Attr)
		return 0
	})
}

// resize makes the file so long, if that fits.
func (n *node) resize(size int) syscall.Errno {
	more := int64(size - len(n.i.data))
	if bound := n.d.bound.Load(); more > 0 && bound > 0 && n.d.used+more > bound {
		return syscall.ENOSPC
	}
	n.d.used += more
	if more <= 0 {
		n.i.data = n.i.data[:size]
	} else {
		n.i.data = append(n.i.data, make([]byte, more)...)
	}
	return 0
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (made *fs.Inode, _ fs.FileHandle, _ uint32, errno syscall.Errno) {
	errno = n.change(func() syscall.Errno {
		i := n.i.entries[name]
		if i != nil && flags&syscall.O_EXCL != 0 {
			return syscall.EEXIST
		}
		if i == nil {
			i = n.d.newInode(mode & 0o7777)
			n.i.entries[name] = i
			n.d.changed(n.i)
		}
		made = n.show(ctx, i, out)
		return 0
	})
	return made, nil, 0, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (made *fs.Inode, errno syscall.Errno) {
	errno = n.change(func() syscall.Errno {
		if n.i.entries[name] != nil {
			return syscall.EEXIST
		}
		i := n.d.newDir()
		i.mode = mode & 0o7777
		n.i.entries[name] = i
		n.d.changed(n.i)
		made = n.show(ctx, i, out)
		return 0
	})
	return made, errno
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (made *fs.Inode, errno syscall.Errno) {
	errno = n.change(func() syscall.Errno {
		if n.i.entries[name] != nil {
			return syscall.EEXIST
		}
		i := target.(*node).i
		n.i.entries[name] = i
		n.d.changed(n.i)
		made = n.show(ctx, i, out)
		return 0
	})
	return made, errno
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.change(func() syscall.Errno {
		i := n.i.entries[name]
		if i == nil {
			return syscall.ENOENT
		}
		n.d.used -= int64(len(i.data))
		delete(n.i.entries, name)
		n.d.changed(n.i)
		return 0
	})
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return n.change(func() syscall.Errno {
		i := n.i.entries[name]
		switch {
		case i == nil:
			return syscall.ENOENT
		case len(i.entries) > 0:
			return syscall.ENOTEMPTY
		}
		delete(n.i.entries, name)
		n.d.changed(n.i)
		return 0
	})
}

func (n *node) Rename(_ context.Context, name string, to fs.InodeEmbedder, toName string, flags uint32) syscall.Errno {
	return n.change(func() syscall.Errno {
		i, into := n.i.entries[name], to.(*node).i
		if i == nil {
			return syscall.ENOENT
		}
		if old := into.entries[toName]; old != nil && old != i {
			if old.dir && len(old.entries) > 0 {
				return syscall.ENOTEMPTY
			}
			n.d.used -= int64(len(old.data))
		}
		delete(n.i.entries, name)
		into.entries[toName] = i
		n.d.changed(n.i)
		n.d.changed(into)
		return 0
	})
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY && n.d.readOnly.Load() {
		return nil, 0, syscall.EROFS
	}
	return nil, 0, 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if off >= int64(len(n.i.data)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, n.i.data[off:])]), 0
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (written uint32, errno syscall.Errno) {
	errno = n.change(func() syscall.Errno {
		if end := int(off) + len(data); end > len(n.i.data) {
			if errno := n.resize(end); errno != 0 {
				return errno
			}
		}
		copy(n.i.data[off:], data)
		n.i.dirty = true
		return 0
	})
	if errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return n.change(func() syscall.Errno {
		n.d.sync(n.i)
		return 0
	})
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	free := int64(1 << 40)
	if bound := n.d.bound.Load(); bound > 0 {
		free = max(bound-n.d.used, 0)
	}
	out.Bsize, out.Frsize, out.NameLen = page, page, 255
	out.Blocks = uint64((n.d.used + free) / page)
	out.Bfree = uint64(free / page)
	out.Bavail = out.Bfree
	out.Files, out.Ffree = 1<<20, 1<<20
	return 0
}
