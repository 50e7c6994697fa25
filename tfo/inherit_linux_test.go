//go:build !tlstfo_portable

package tfo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// listening returns the file of a listening socket such as a process inherits.
func listening(t *testing.T, protocol int) *os.File {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if protocol == unix.IPPROTO_MPTCP && err != nil {
		missing(t, "no Multipath TCP: ", err)
	}
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 10))
	}
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "inherited")
	t.Cleanup(func() { f.Close() })
	return f
}

// What an inherited listener says of Fast Open is what its clients meet.
func TestInheritedListener(t *testing.T) {
	fastOpenTest(t)
	for _, test := range []struct {
		sysctl   string
		protocol int
		before   int // pending, as whoever made the socket set it
		pending  int
		want     Reason
		queue    int
	}{
		{"3", 0, 0, 0, ReasonNone, defaultPending},
		{"3", 0, 5, 7, ReasonNone, 7},
		{"2", 0, 0, 0, ReasonNone, defaultPending},
		{"1", 0, 0, 0, ReasonSwitchedOff, defaultPending},
		{"3", unix.IPPROTO_MPTCP, 0, 0, ReasonMultipath, 0},
		{"3", unix.IPPROTO_MPTCP, 5, 0, ReasonMultipath, 0},
		{"1027", unix.IPPROTO_MPTCP, 0, 0, ReasonMultipath, 0}, // 0x400: the kernel switches it on for every listener
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			fastOpenTest(t)
			sysctl(t, "tcp_fastopen", test.sysctl)
			f := listening(t, test.protocol)
			if test.before > 0 {
				if err := unix.SetsockoptInt(int(f.Fd()), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, test.before); err != nil {
					t.Fatal(err)
				}
			}
			lc := &ListenConfig{Pending: test.pending}
			l, err := lc.FileListener(f)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.FastOpen() != test.want {
				t.Errorf("%v, want %v", l.FastOpen(), test.want)
			}
			if queue := option(t, l, unix.IPPROTO_TCP, unix.TCP_FASTOPEN); queue != test.queue {
				t.Errorf("pending %d, want %d", queue, test.queue)
			}
			f.Close()
			if test.sysctl == "2" {
				sysctl(t, "tcp_fastopen", "3") // for the client
			}

			// The second of two dials has data in its SYN if the listener promised that.
			got := drain(t, l)
			var info *Info
			var server accepted
			for range 2 {
				info, server = dialSink(t, new(Dialer), "tcp", l.Addr().String(), []byte("x"), got)
			}
			if works := test.want == ReasonNone; info.SynAcked != works || server.synData != works || string(server.data) != "x" {
				t.Errorf("%v: %+v, %+v", test.want, info, server)
			}
		})
	}
}

func TestAdoptedAgain(t *testing.T) {
	fastOpenTest(t)
	l, err := Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again, err := (&ListenConfig{Pending: 3}).Adopt(l)
	if err != nil || again.FastOpen() != ReasonNone || option(t, l, unix.IPPROTO_TCP, unix.TCP_FASTOPEN) != 3 {
		t.Errorf("%v", err)
	}
}

func TestInheritedSocketThatDoesNotListen(t *testing.T) {
	fastOpenTest(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "inherited")
	defer f.Close()
	if _, err := new(ListenConfig).FileListener(f); !errors.Is(err, errNotListening) {
		t.Error(err)
	}
}

// A socket of another network namespace is under sysctls that cannot be seen from here.
func TestInheritedFromAnotherNamespace(t *testing.T) {
	fastOpenTest(t)
	if ownNamespace() == 0 {
		missing(t, "the kernel does not number its network namespaces")
	}
	files := make(chan *os.File)
	go func() {
		defer close(files)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Log(err)
			return
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Bind(fd, new(unix.SockaddrInet4)), unix.Listen(fd, 10))
		}
		if err != nil {
			t.Error(err)
			return
		}
		files <- os.NewFile(uintptr(fd), "inherited")
	}()
	f := <-files
	if f == nil {
		missing(t, "no namespace")
	}
	defer f.Close()
	l, err := new(ListenConfig).FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.FastOpen() != ReasonUnknown {
		t.Error(l.FastOpen())
	}
}

// net.Listen makes listeners of Multipath TCP where the kernel has it.
func TestAdoptListenerOfNet(t *testing.T) {
	fastOpenTest(t)
	for _, multipath := range []bool{false, true} {
		var lc net.ListenConfig
		lc.SetMultipathTCP(multipath)
		inner, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer inner.Close()
		want := ReasonNone
		if option(t, inner.(*net.TCPListener), unix.SOL_SOCKET, unix.SO_PROTOCOL) == unix.IPPROTO_MPTCP {
			want = ReasonMultipath
		}
		l, err := new(ListenConfig).Adopt(inner)
		if err != nil || l.FastOpen() != want {
			t.Errorf("%v, %v, want %v", l, err, want)
		}
	}
}

// missing skips a test for what the system lacks, or fails it where nothing may be missing.
func missing(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv(envRequire) == "1" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}
