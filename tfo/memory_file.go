package tfo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const maxMemoryFile = 3 + maxEntries*(2+2*maxAddress+10) // bytes: as many back-offs as a Memory holds

// OpenMemory returns a Memory that outlives the process: it begins with what the file of that name holds, and writes it anew whenever a back-off begins or is
// cleared, before the dial that found that out returns. A file that is not there is an empty Memory; its folder has to be there. The file is
// replaced as a whole, and readable by its owner only: it tells which hosts were dialled from where.
//
// An error is for a file that cannot be read, is no regular one or is no Memory's. Later errors of writing do not disturb dials; Save has them. Processes may
// share a file, but one that is running does not see what another one writes, and the last one to write wins.
func OpenMemory(name string) (*Memory, error) {
	file, err := filepath.Abs(name) // it stays the same file when the process changes its folder
	if err != nil {
		return nil, fmt.Errorf("tfo: memory: %w", err)
	}
	m := &Memory{file: file}
	if about, err := os.Stat(file); err == nil && !about.Mode().IsRegular() { // to open a pipe would block
		return nil, fmt.Errorf("tfo: memory: %s is no regular file", file)
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tfo: memory: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMemoryFile+1))
	if err == nil {
		err = m.UnmarshalBinary(data)
	}
	if err != nil {
		return nil, fmt.Errorf("tfo: memory in %s: %w", name, err)
	}
	return m, nil
}

// Save writes m to the file of OpenMemory. That has been done already for every change; Save tells whether it can be. Without a file it does nothing.
func (m *Memory) Save() error {
	if m.file == "" {
		return nil
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	data, err := m.MarshalBinary()
	if err == nil {
		err = replaceFile(m.file, data)
	}
	if err != nil {
		return fmt.Errorf("tfo: memory: %w", err)
	}
	return nil
}

// replaceFile writes a new file and puts it in the place of the one of that name.
func replaceFile(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
