package handshake

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// readCompressionAlgorithms reads a compress_certificate extension (RFC 8879,
// section 3).
func readCompressionAlgorithms(data cryptobyte.String) (algorithms []uint16, ok bool) {
	var list cryptobyte.String
	if !data.ReadUint8LengthPrefixed(&list) || !data.Empty() || list.Empty() || len(list)%2 != 0 {
		return nil, false
	}
	for !list.Empty() {
		var id uint16
		list.ReadUint16(&id)
		algorithms = append(algorithms, id)
	}
	return algorithms, true
}

// compressedCertificate is a CompressedCertificate (RFC 8879, section 4). It
// aliases the message.
type compressedCertificate struct {
	algorithm uint16
	length    uint32 // of the Certificate without its header
	data      []byte
}

func parseCompressedCertificate(body cryptobyte.String) (m compressedCertificate, fault Fault) {
	var data cryptobyte.String
	if !body.ReadUint16(&m.algorithm) || !body.ReadUint24(&m.length) || !body.ReadUint24LengthPrefixed(&data) ||
		data.Empty() || !body.Empty() {
		return m, FaultDecode
	}
	m.data = data
	return m, 0
}

// compressedCertificate handles a CompressedCertificate, which stands for
// Certificate if we offered that (RFC 8879, section 4).
func (c *Client) compressedCertificate(msg []byte, body cryptobyte.String, now time.Time) Fault {
	data, offered := c.hello.extension(extCompressCertificate)
	if !offered {
		return FaultUnexpectedMessage
	}
	m, fault := parseCompressedCertificate(body)
	if fault != 0 {
		return fault
	}
	// Section 4: one of the algorithms that were offered. GREASE is never chosen (RFC 8701, section 4).
	algorithms, _ := readCompressionAlgorithms(data)
	decompressor := c.built.Decompressors[m.algorithm]
	if decompressor == nil || !slices.Contains(algorithms, m.algorithm) {
		return FaultBadCompressionAlgorithm
	}
	// Section 5: the limit that holds for a Certificate holds for what one is expanded
	// to, and before that is done.
	if int64(m.length) > int64(c.limit()) {
		return FaultUncompressedTooLarge
	}
	certificate, err := decompress(decompressor, m.data, int(m.length))
	if err != nil {
		return c.because(FaultDecompression, err)
	}
	// Section 4: the transcript has the message as it was sent.
	return c.certificate(msg, certificate, now)
}

// decompress expands data to exactly length bytes, and reads no further than
// what shows that there are no more.
func decompress(decompressor func(io.Reader) (io.Reader, error), data []byte, length int) (certificate []byte, err error) {
	defer func() {
		// It is the Builder's code, and its input comes from a server that nobody has authenticated.
		if p := recover(); p != nil {
			certificate, err = nil, fmt.Errorf("tls: the decompressor panicked: %v", p)
		}
	}()
	r, err := decompressor(&sliceReader{data})
	if err != nil {
		return nil, err
	}
	out := make([]byte, length)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, fmt.Errorf("tls: the certificate does not expand to the %d bytes that it declares: %w", length, err)
	}
	// Section 4: a length that does not match is fatal.
	for range maxEmptyReads {
		var more [1]byte
		n, err := r.Read(more[:])
		switch {
		case n > 0:
			return nil, errors.New("tls: the certificate expands to more than it declares")
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, io.ErrNoProgress
}

// maxEmptyReads is how often a decompressor may read nothing without an error.
const maxEmptyReads = 100

// sliceReader reads a slice; bytes.Reader would let a decompressor seek in it.
type sliceReader struct{ data []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}
