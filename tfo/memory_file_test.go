package tfo

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
)

// What a dial finds out is there when the next process begins.
func TestMemoryOutlivesTheProcess(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "memory")
	open := func() *Memory {
		t.Helper()
		m, err := OpenMemory(name)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	dial := func(t *testing.T, m *Memory, answer reply) []string {
		f := newFakeNet(t, map[string]reply{four1 + " fastopen": answer, four1 + " plain": {after: ms(10)}})
		_, info, err := f.dial(t.Context(), &Dialer{Memory: m}, four1, flight([]byte("x"), nil))
		if err != nil {
			t.Fatal(err)
		}
		return waysOfAttempts(info)
	}
	broken := reply{option: true, taken: 1, after: ms(10), err: syscall.ECONNRESET}
	fine := reply{option: true, taken: 1, after: ms(10)}

	m := open()
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file before anything is to be remembered: ", err)
	}
	synctest.Test(t, func(t *testing.T) {
		if ways := dial(t, m, broken); len(ways) != 2 {
			t.Errorf("%q", ways)
		}
		again := open()
		if again.String() != m.String() || len(again.Snapshot()) != 1 {
			t.Errorf("%v, want %v", again, m)
		}
		if ways := dial(t, again, fine); len(ways) != 1 || ways[0] != "plain" {
			t.Errorf("%q", ways)
		}
	})
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// A success that clears it is written, too.
	p := place{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr(four1)}
	m.entries[p].until = m.entries[p].until.Add(-mostBackOff)
	synctest.Test(t, func(t *testing.T) {
		if ways := dial(t, m, fine); len(ways) != 1 || ways[0] != "fastopen" {
			t.Errorf("%q", ways)
		}
	})
	if list := open().Snapshot(); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func waysOfAttempts(info *Info) (ways []string) {
	for _, a := range info.Attempts {
		ways = append(ways, a.Way.String())
	}
	return ways
}

func TestMemoryFileErrors(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, data := range map[string][]byte{
		"empty": nil, "version": {9, 0, 0}, "short": {memoryVersion, 0, 1}, "long": make([]byte, maxMemoryFile+1), "more": {memoryVersion, 0, 0, 0},
	} {
		if m, err := OpenMemory(write(name, data)); err == nil || m != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenMemory(folder); err == nil {
		t.Error("a folder is no Memory")
	}
	m, err := OpenMemory(filepath.Join(folder, "none", "memory"))
	if err != nil {
		t.Fatal(err)
	}
	a := &Attempt{Way: WayFastOpen, Addr: netip.MustParseAddrPort("192.0.2.11:443"), source: netip.MustParseAddr("192.0.2.1")}
	m.Stalled(a) // works all the same
	if err := m.Save(); !errors.Is(err, fs.ErrNotExist) || len(m.Snapshot()) != 1 {
		t.Errorf("%v; %v", err, m)
	}
	if err := new(Memory).Save(); err != nil {
		t.Error(err)
	}

	// The largest that there can be is read again.
	m, err = OpenMemory(filepath.Join(folder, "full"))
	if err != nil {
		t.Fatal(err)
	}
	zone := make([]byte, maxAddress-16)
	for i := range zone {
		zone[i] = 'z'
	}
	for i := range maxEntries / 2 {
		a.Addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(i >> 8), 15: byte(i)}).WithZone(string(zone)), 443)
		a.source = netip.AddrFrom16([16]byte{0x20, 6: byte(i >> 8), 7: byte(i), 15: 1})
		m.noteFailure(a, FailureError)
	}
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	if again, err := OpenMemory(m.file); err != nil || again.String() != m.String() || len(again.Snapshot()) < maxEntries/2 {
		t.Errorf("%v", err)
	}
}

// A name is that of one file for good, and of a regular one.
func TestMemoryFileName(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	m, err := OpenMemory("memory")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "memory")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", folder} {
		if _, err := OpenMemory(name); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
}
