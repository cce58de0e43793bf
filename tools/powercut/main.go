// Command powercut is a file system for tests that forgets what was not synced. It is a module of its own, so that aftermath does not
// depend on what it needs.
//
//	powercut [-lie] [-strict] FOLDER MOUNTPOINT
//
// It reads the folder into memory, mounts that, prints "ready", and obeys the lines of its standard input:
//
//	cut SEED     the power is cut: unmount, and write to the folder what a disk would have; the end
//	full BYTES   no more than that many bytes fit from now on; 0 for no bound
//	readonly on  nothing can be written any more; off: again
//	slow TIME    each write and sync takes that long
//
// and prints "ok" after each.
//
// What a disk would have: of a file, what it held at its last fsync, and of what was written since, a random choice of pages, up to a
// random length. Of a folder, the entries it had at the last fsync of anything: a journal, as ext4's and XFS's, brings all that was
// made, renamed and removed before to the disk. With -strict a folder's entries are only synced by an fsync of that folder. With -lie
// an fsync does nothing.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	lie := flag.Bool("lie", false, "an fsync does nothing")
	strict := flag.Bool("strict", false, "a folder's entries are synced by an fsync of the folder alone")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *lie, *strict); err != nil {
		log.Fatal(err)
	}
}

func run(folder, mountpoint string, lie, strict bool) error {
	d := &disk{lie: lie, strict: strict}
	d.root = d.newDir()
	if err := d.load(folder, d.root); err != nil {
		return err
	}
	none := time.Duration(0)
	server, err := fs.Mount(mountpoint, &node{d: d, i: d.root}, &fs.Options{
		EntryTimeout: &none, AttrTimeout: &none, NegativeTimeout: &none,
		MountOptions: fuse.MountOptions{FsName: "powercut", DirectMount: true, MaxWrite: 1 << 20},
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		what, arg, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "cut":
			seed, err := strconv.ParseUint(arg, 10, 64)
			if err != nil {
				return err
			}
			if err := server.Unmount(); err != nil {
				return err
			}
			server.Wait()
			if err := d.cut(folder, seed); err != nil {
				return err
			}
			fmt.Println("ok")
			return nil
		case "full":
			n, err := strconv.ParseInt(arg, 10, 64)
			if err != nil {
				return err
			}
			d.bound.Store(n)
		case "readonly":
			d.readOnly.Store(arg == "on")
		case "slow":
			t, err := time.ParseDuration(arg)
			if err != nil {
				return err
			}
			d.delay.Store(int64(t))
		default:
			return fmt.Errorf("%q is no command", lines.Text())
		}
		fmt.Println("ok")
	}
	return server.Unmount()
}
