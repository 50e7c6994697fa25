package handshake

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/sys/cpu"
)

// Hello is a ClientHello as data, whoever built it. The engine makes what it
// sends out of it by edits: pre_shared_key with its binders, early_data, padding, and
// the second hello after HelloRetryRequest.
type Hello struct {
	// Raw is the whole handshake message, header included. An early_data or an
	// empty cookie in it marks where that extension shall stand if there is one; a
	// pre_shared_key in it is replaced.
	Raw []byte
	// Keys are the private keys behind the shares in Raw.
	Keys []ShareKey

	// Padding computes the padding extension (RFC 7685) of each hello that is
	// sent: from the length of the message without it, header included, to how many zeros it
	// has, or ok false for none. It stands where Raw has one. nil: padding, if there is any, stays as
	// it is.
	Padding func(unpadded int) (zeros int, ok bool)

	// Decompressors are for the algorithms that a compress_certificate in Raw
	// lists (RFC 8879, section 7.3). What they return is read up to the length that the
	// message declares, and no further.
	Decompressors map[uint16]func(compressed io.Reader) (io.Reader, error)

	// ApplicationSettings are what is sent to a server that takes the
	// application settings which Raw offers (draft-vvv-tls-alps), by application
	// protocol. A protocol that is not here has empty settings.
	ApplicationSettings map[string][]byte
}

// A Builder builds the first ClientHello of a connection. Connections that begin
// at once call it at once, and so the functions in what it returns, if they share
// them: all must be safe for concurrent use.
type Builder interface {
	// BuildHello returns a new Hello that offers TLS 1.3. All that must be
	// unpredictable in it comes from rand. It must not offer an extension that
	// this package could not honour if the server accepted it: NewClient refuses
	// such a hello.
	BuildHello(cfg *Config, rand io.Reader) (*Hello, error)
}

// CompactHello is the Builder that a nil Config.Hello stands for: the
// extensions of crypto/tls that mean something in TLS 1.3, and nothing else, so
// that the hello fits a SYN.
type CompactHello struct{}

// BuildHello makes the compact hello.
func (CompactHello) BuildHello(cfg *Config, rand io.Reader) (*Hello, error) {
	protos, err := alpnList(cfg.NextProtos)
	if err != nil {
		return nil, err
	}
	groups := cfg.groups()
	if len(groups) == 0 {
		return nil, errors.New("tls: Config.Groups lists no group")
	}
	for _, id := range groups {
		if _, ok := groupByID(id); !ok {
			return nil, errors.New("tls: unsupported group " + id.String())
		}
	}
	if cfg.SignatureAlgorithms != nil && len(cfg.SignatureAlgorithms) == 0 {
		return nil, errors.New("tls: Config.SignatureAlgorithms lists no algorithm") // section 4.2.3: at least one
	}
	ids, err := cfg.keyShares(groups)
	if err != nil {
		return nil, err
	}
	keys, shares, err := generateKeyShares(ids, rand)
	if err != nil {
		return nil, err
	}
	var random [64]byte // Random and the session id
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return nil, err
	}
	hello := &Hello{Keys: keys}
	size := 384 + len(cfg.ServerName) + len(protos)
	for _, s := range shares {
		size += 4 + len(s.data)
	}

	b := cryptobyte.NewBuilder(make([]byte, 0, size))
	b.AddUint8(uint8(typeClientHello))
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(versionTLS12)
		b.AddBytes(random[:32])
		// RFC 8446, section D.4: a session id that is not empty is the sign
		// of compatibility mode.
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
			if !cfg.Lean {
				b.AddBytes(random[32:])
			}
		})
		addList16(b, defaultSuites())
		b.AddUint16(1 << 8) // the null compression method
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { cfg.addExtensions(b, groups, shares, protos) })
	})
	hello.Raw, err = b.Bytes()
	return hello, err
}

// addExtensions adds the extensions of the compact hello.
func (cfg *Config) addExtensions(b *cryptobyte.Builder, groups []tls.CurveID, shares []keyShare, protos []byte) {
	if name := sniName(cfg.ServerName); name != "" {
		addExtension(b, extServerName, func(b *cryptobyte.Builder) { // RFC 6066, section 3
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint8(0)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			})
		})
	}
	b.AddUint16(extStatusRequest) // RFC 6066, section 8: OCSP, no responders, no extensions
	b.AddBytes([]byte{0, 5, 1, 0, 0, 0, 0})
	addExtension(b, extSupportedGroups, func(b *cryptobyte.Builder) { addList16(b, groups) })
	algorithms, forChains := cfg.signatureAlgorithms(), cfg.SignatureAlgorithms == nil
	if cfg.Lean && forChains {
		// Section 4.2.3: without signature_algorithms_cert this list is for
		// certificates as well. CertificateVerify takes none of those that it adds.
		algorithms, forChains = defaultSignatureAlgorithms(), false
	}
	addExtension(b, extSignatureAlgorithms, func(b *cryptobyte.Builder) { addList16(b, algorithms) })
	if forChains {
		// RFC 8446, section 4.2.3: chains may use what handshakes may not.
		addExtension(b, extSignatureAlgorithmsCert, func(b *cryptobyte.Builder) { addList16(b, chainSignatureAlgorithms()) })
	}
	if len(protos) > 0 {
		addExtension(b, extALPN, func(b *cryptobyte.Builder) { // RFC 7301, section 3.1
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(protos) })
		})
	}
	b.AddUint16(extSCT) // RFC 6962, section 3.3.1
	b.AddUint16(0)
	b.AddUint16(extSupportedVersions) // TLS 1.3 and nothing else
	b.AddBytes([]byte{0, 3, 2, versionTLS13 >> 8, versionTLS13 & 0xff})
	b.AddUint16(extPSKModes) // section 4.2.9
	b.AddBytes([]byte{0, 2, 1, pskModeDHE})
	addKeyShares(b, shares)
}

func addExtension(b *cryptobyte.Builder, typ uint16, data func(*cryptobyte.Builder)) {
	b.AddUint16(typ)
	b.AddUint16LengthPrefixed(data)
}

func addList16[T ~uint16](b *cryptobyte.Builder, list []T) {
	b.AddUint16(uint16(2 * len(list)))
	for _, v := range list {
		b.AddUint16(uint16(v))
	}
}

// addKeyShares adds a client's key_share extension (section 4.2.8).
func addKeyShares(b *cryptobyte.Builder, shares []keyShare) {
	addExtension(b, extKeyShare, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, s := range shares {
				b.AddUint16(uint16(s.group))
				b.AddUint16(uint16(len(s.data)))
				b.AddBytes(s.data)
			}
		})
	})
}

// alpnList encodes protocol names (RFC 7301, section 3.1).
func alpnList(protos []string) ([]byte, error) {
	var list []byte
	for _, p := range protos {
		if len(p) == 0 || len(p) > 255 {
			return nil, errors.New("tls: invalid NextProtos value")
		}
		list = append(append(list, byte(len(p))), p...)
	}
	if len(list) > 0xffff-2 {
		return nil, errors.New("tls: NextProtos values too large")
	}
	return list, nil
}

// sniName returns what to send as server_name for a name: nothing for IP
// literals, and no trailing dot (RFC 6066, section 3).
func sniName(name string) string {
	host := name
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if i := strings.LastIndexByte(host, '%'); i > 0 {
		host = host[:i]
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return strings.TrimRight(name, ".")
}

// hasAESHardware tells whether AES-GCM is fast here; else ChaCha20-Poly1305 is
// preferred. The rule is crypto/tls's.
func hasAESHardware() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 && cpu.X86.HasSSSE3 ||
		cpu.ARM64.HasAES && cpu.ARM64.HasPMULL ||
		cpu.S390X.HasAES && cpu.S390X.HasAESCTR && cpu.S390X.HasGHASH
}

// defaultSuites lists the suites in the order of crypto/tls.
func defaultSuites() []uint16 { return preferredSuites(hasAESHardware()) }

// preferredSuites lists the suites in the order of crypto/tls where AES-GCM is fast, or
// is not.
func preferredSuites(aes bool) []uint16 {
	if aes {
		return []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	}
	return []uint16{tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384}
}
