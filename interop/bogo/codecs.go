package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"

	"github.com/tlstfo/tlstfo/handshake"
)

// The runner's own algorithms for certificates.
const (
	shrinking = 0xff01 // leaves out the two zeros that a Certificate begins with
	expanding = 0xff02 // puts four bytes in front
	anyByte   = 0xff03 // puts one in front, of any value
)

var expandingPrefix = []byte{1, 2, 3, 4}

// decompressors are a client's.
var decompressors = map[uint16]func(io.Reader) (io.Reader, error){
	shrinking: func(r io.Reader) (io.Reader, error) {
		return io.MultiReader(bytes.NewReader([]byte{0, 0}), r), nil
	},
	expanding: func(r io.Reader) (io.Reader, error) {
		prefix := make([]byte, len(expandingPrefix))
		if _, err := io.ReadFull(r, prefix); err != nil || !bytes.Equal(prefix, expandingPrefix) {
			return nil, errors.New("not what the runner compresses to")
		}
		return r, nil
	},
	anyByte: func(r io.Reader) (io.Reader, error) {
		_, err := io.ReadFull(r, make([]byte, 1))
		return r, err
	},
}

// allCompressors are a server's, in the order of preference that the runner
// expects.
func allCompressors() []handshake.CertificateCompressor {
	return []handshake.CertificateCompressor{
		{Algorithm: expanding, Compress: func(certificate []byte) ([]byte, error) {
			return append(bytes.Clone(expandingPrefix), certificate...), nil
		}},
		{Algorithm: shrinking, Compress: func(certificate []byte) ([]byte, error) {
			rest, ok := bytes.CutPrefix(certificate, []byte{0, 0})
			if !ok {
				return nil, errors.New("the Certificate does not begin with two zeros")
			}
			return rest, nil
		}},
		{Algorithm: anyByte, Compress: func(certificate []byte) ([]byte, error) {
			return append([]byte{byte(rand.Uint32())}, certificate...), nil
		}},
	}
}

// compressors are those that a server is to have.
func (o *options) compressors() (list []handshake.CertificateCompressor) {
	for _, c := range allCompressors() {
		if o.InstallCertCompressionAlgs || o.InstallCertCompressionAlg == c.Algorithm {
			list = append(list, c)
		}
	}
	return list
}
