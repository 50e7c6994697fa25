package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// CertificateCompressor is an algorithm that a server compresses certificates
// with (RFC 8879). The package has none of its own.
type CertificateCompressor struct {
	// Algorithm is its number (RFC 8879, section 7.3): 1 is zlib, 2 Brotli, 3
	// Zstandard.
	Algorithm uint16
	// Compress compresses the body of a Certificate message, which it must not
	// change. It is called in every full handshake with a client that has the
	// algorithm, by many at once, and mostly with the same bytes: those of one
	// certificate and its staples; so it does well to keep what it made of them. If it
	// returns nothing the certificate goes out as it is; an error fails the
	// handshake.
	Compress func(certificate []byte) ([]byte, error)
}

// checkCompressors enforces that each algorithm is there once.
func checkCompressors(list []CertificateCompressor) error {
	for _, c := range list {
		if c.Compress == nil {
			return fmt.Errorf("tls: ServerConfig.CertificateCompressors cannot compress by algorithm %d", c.Algorithm)
		}
	}
	if repeats(list, func(c CertificateCompressor) uint16 { return c.Algorithm }) {
		return errors.New("tls: ServerConfig.CertificateCompressors has an algorithm twice")
	}
	return nil
}

// certificateFor makes the Certificate, or the CompressedCertificate that stands
// for it if the client has one of our algorithms (RFC 8879, section 4).
func (s *Server) certificateFor(cert *tls.Certificate) ([]byte, error) {
	msg, err := marshalCertificate(cert, s.hello.ocsp, s.hello.sct)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.cfg.CertificateCompressors, func(c CertificateCompressor) bool {
		return slices.Contains(s.hello.compressors, c.Algorithm)
	})
	if i < 0 {
		return msg, nil // section 4: only by an algorithm that was offered
	}
	c := &s.cfg.CertificateCompressors[i]
	body := msg[messageHeaderLen:]
	compressed, err := c.Compress(body)
	if err != nil {
		return nil, fmt.Errorf("tls: compressing the certificate: %w", err)
	}
	if len(compressed) == 0 {
		return msg, nil
	}
	return buildMessage(typeCompressed, func(b *cryptobyte.Builder) {
		b.AddUint16(c.Algorithm)
		b.AddUint24(uint32(len(body))) // section 4: of the Certificate without its header
		addBytes24(b, compressed)
	})
}
