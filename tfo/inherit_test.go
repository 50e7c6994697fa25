package tfo

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestAdoptOther(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	lc := new(ListenConfig)
	for _, l := range []net.Listener{l, nil, (*net.TCPListener)(nil), &Listener{}, (*Listener)(nil)} {
		if _, err := lc.Adopt(l); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%T: %v", l, err)
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := lc.Adopt(closed); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := lc.FileListener(file); err == nil {
		t.Error("a file is no listener")
	}
}
