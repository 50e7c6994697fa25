package main

import (
	"bytes"
	"errors"
	"io"
)

// decompressors are the runner's: one leaves out the two zeros that a
// Certificate begins with, one puts four bytes in front, one puts one of any value.
var decompressors = map[uint16]func(io.Reader) (io.Reader, error){
	0xff01: func(r io.Reader) (io.Reader, error) {
		return io.MultiReader(bytes.NewReader([]byte{0, 0}), r), nil
	},
	0xff02: func(r io.Reader) (io.Reader, error) {
		prefix := make([]byte, 4)
		if _, err := io.ReadFull(r, prefix); err != nil || !bytes.Equal(prefix, []byte{1, 2, 3, 4}) {
			return nil, errors.New("not what the runner compresses to")
		}
		return r, nil
	},
	0xff03: func(r io.Reader) (io.Reader, error) {
		_, err := io.ReadFull(r, make([]byte, 1))
		return r, err
	},
}
