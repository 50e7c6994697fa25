package handshake

import (
	"bytes"
	"compress/zlib"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"
)

// expander is a Builder whose hello lists the algorithms, and notes which one
// the server used. Each puts its own number in front.
type expander struct {
	algorithms []uint16
	used       *[]uint16
}

func (e expander) BuildHello(cfg *Config, rand io.Reader) (*Hello, error) {
	if len(e.algorithms) == 0 {
		return CompactHello{}.BuildHello(cfg, rand)
	}
	list := []byte{byte(2 * len(e.algorithms))}
	for _, id := range e.algorithms {
		list = append(list, byte(id>>8), byte(id))
	}
	h, err := browser{offer: []extension{{extCompressCertificate, list}}}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	for _, id := range e.algorithms {
		h.Decompressors[id] = func(r io.Reader) (io.Reader, error) {
			first := make([]byte, 1)
			if _, err := io.ReadFull(r, first); err != nil || first[0] != byte(id) {
				return nil, fmt.Errorf("%x, %v", first, err)
			}
			*e.used = append(*e.used, id)
			return r, nil
		}
	}
	return h, nil
}

// compressor is the other side of an expander. It counts how often it is asked.
func compressor(id uint16, calls *int) CertificateCompressor {
	return CertificateCompressor{id, func(certificate []byte) ([]byte, error) {
		*calls++
		return append([]byte{byte(id)}, certificate...), nil
	}}
}

// RFC 8879, section 4: CompressedCertificate may stand for Certificate if the
// client has the algorithm, and the server chooses which.
func TestServerCompressedCertificate(t *testing.T) {
	for _, c := range []struct {
		name           string
		server, client []uint16
		want           []uint16
	}{
		{"the same one", []uint16{2}, []uint16{2}, []uint16{2}},
		{"in the server's order", []uint16{3, 2}, []uint16{2, 3}, []uint16{3}},
		{"the first that the client has", []uint16{4, 2, 3}, []uint16{3, 2}, []uint16{2}},
		{"none in common", []uint16{2}, []uint16{3}, nil},
		{"none of the server", nil, []uint16{2}, nil},
		{"none of the client", []uint16{2}, nil, nil},
	} {
		var used []uint16
		calls := 0
		cfg, client, _ := serverSetup(t)
		cfg.Certificates[0].OCSPStaple = []byte("staple")
		for _, id := range c.server {
			cfg.CertificateCompressors = append(cfg.CertificateCompressors, compressor(id, &calls))
		}
		client.Hello = expander{c.client, &used}
		p := connectPair(t, cfg, client, "")
		state := p.c.ConnectionState()
		if !slices.Equal(used, c.want) || calls != len(c.want) {
			t.Errorf("%s: %d was used after %d calls, want %d", c.name, used, calls, c.want)
		}
		if !bytes.Equal(state.PeerCertificates[0].Raw, cfg.Certificates[0].Certificate[0]) || string(state.OCSPResponse) != "staple" {
			t.Errorf("%s: another certificate or staple", c.name)
		}
		// RFC 8446, section 2.2: a resumed handshake has no certificate.
		sessions := p.sessions(t)
		connectPair(t, cfg, resume(client, sessions[0], time.Second, false), "")
		if calls != len(c.want) {
			t.Errorf("%s: the certificate was compressed for a resumed handshake", c.name)
		}
	}
}

// A client of browsers' kind, and an algorithm that it really has.
func TestServerZlibCertificate(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	client.Hello = browser{offer: []extension{offerCompression}}
	saved := 0
	cfg.CertificateCompressors = []CertificateCompressor{{1, func(certificate []byte) ([]byte, error) {
		var out bytes.Buffer
		w := zlib.NewWriter(&out)
		w.Write(certificate)
		err := w.Close()
		saved = len(certificate) - out.Len()
		return out.Bytes(), err
	}}}
	chain := &cfg.Certificates[0].Certificate
	*chain = append(*chain, (*chain)[0], (*chain)[0])
	plain := flightLength(t, cfg, &Config{ServerName: client.ServerName, RootCAs: client.RootCAs})
	if got := flightLength(t, cfg, client); saved <= 0 || plain-got < saved-200 {
		t.Errorf("the flight has %d bytes, uncompressed %d; the compressor saved %d", got, plain, saved)
	}
}

// flightLength is how long the server's first flight is in a handshake that
// succeeds.
func flightLength(t *testing.T, cfg *ServerConfig, client *Config) int {
	t.Helper()
	p := newPair(t, cfg, client, "")
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil {
		t.Fatal(err)
	}
	flight := p.s.AppendOutput(nil)
	p.c.Feed(flight)
	if err := p.nextClient(); err != nil || p.c.State() != StateConnected {
		t.Fatalf("%v, %v", p.c.State(), err)
	}
	return len(flight)
}

// RFC 8879, section 4: the message cannot be empty, so what a compressor makes
// nothing of goes out as it is. Its error is one of the server.
func TestServerCompressorFails(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		data []byte
		err  error
	}{{nil, nil}, {[]byte{}, nil}, {[]byte{2}, broken}} {
		var used []uint16
		cfg, client, _ := serverSetup(t)
		client.Hello = expander{[]uint16{2}, &used}
		cfg.CertificateCompressors = []CertificateCompressor{{2, func([]byte) ([]byte, error) { return c.data, c.err }}}
		p := newPair(t, cfg, client, "")
		_, err := p.run()
		if c.err == nil {
			if err != nil || p.c.State() != StateConnected || len(used) > 0 {
				t.Errorf("nothing compressed: %v, %d", err, used)
			}
			continue
		}
		var local *LocalError
		if !errors.As(err, &local) || local.Fault != FaultInternal || local.Alert() != AlertInternalError || !errors.Is(err, broken) {
			t.Errorf("an error of the compressor: %v", err)
		}
	}
}

// RFC 8879, section 3: the extension is a list of one to 127 algorithms. It is
// looked at by servers that do not compress, too.
func TestServerCompressionExtension(t *testing.T) {
	all := []byte{254}
	for i := range byte(127) {
		all = append(all, 0xff, i)
	}
	for _, compressing := range []bool{false, true} {
		for _, c := range []struct {
			name  string
			data  []byte
			fault Fault
		}{
			{"one", []byte{2, 0, 1}, 0},
			{"all that there is room for", all, 0},
			{"one twice", []byte{4, 0, 1, 0, 1}, FaultDecode},
			{"one twice, apart", []byte{6, 0, 1, 0, 2, 0, 1}, FaultDecode},
			{"one twice in a long list", append(append([]byte{254}, all[1:253]...), all[1:3]...), FaultDecode},
			{"none", []byte{0}, FaultDecode},
			{"half of one", []byte{3, 0, 1, 0}, FaultDecode},
			{"cut off", []byte{4, 0, 1}, FaultDecode},
			{"data behind the list", []byte{2, 0, 1, 0}, FaultDecode},
			{"no list", []byte{}, FaultDecode},
		} {
			cfg, client, _ := serverSetup(t)
			if calls := 0; compressing {
				cfg.CertificateCompressors = []CertificateCompressor{compressor(1, &calls)}
			}
			hello := firstHello(t, client)
			hello.set(extCompressCertificate, c.data)
			meets(t, c.name, cfg, hello, c.fault)
		}
	}
}

// RFC 8446, section 4.1.2: the second hello lists the algorithms of the first.
// RFC 8879, section 3: a server that did not ask for it gets no
// CompressedCertificate.
func TestServerCompressionRules(t *testing.T) {
	cfg, client, _ := serverSetup(t)
	client.Hello = browser{offer: []extension{offerCompression}}
	cfg.Groups = DefaultGroups()[len(DefaultGroups())-1:] // no share for it
	p := newPair(t, cfg, client, "")
	p.s.Feed(p.c.AppendOutput(nil))
	if err := p.nextServer(); err != nil || p.s.State() != StateClientHelloRetried {
		t.Fatalf("%v, %v", p.s.State(), err)
	}
	p.c.Feed(p.s.AppendOutput(nil))
	if err := p.nextClient(); err != nil {
		t.Fatal(err)
	}
	second := p.c.AppendOutput(nil)
	if second[0] == byte(recordCCS) {
		second = second[recordHeaderLen+1:]
	}
	hello, fault := parseClientHello(second[recordHeaderLen:])
	if fault != 0 {
		t.Fatal(fault)
	}
	hello.set(extCompressCertificate, []byte{2, 0, 2})
	failsWith(t, "another list", p.s, testTime, appendPlaintext(nil, recordHandshake, versionTLS12, hello.marshal()),
		FaultSecondHelloChanged, StateClientHelloRetried)

	cfg, client, _ = serverSetup(t)
	calls := 0
	cfg.CertificateCompressors = []CertificateCompressor{compressor(1, &calls)}
	cfg.ClientAuth = tls.RequestClientCert
	s := scripted(t, cfg, client, "")
	failsWith(t, "CompressedCertificate of a client", s.s, testTime, s.message(typeCompressed, 0, 1, 0, 0, 1, 0, 0, 1, 0),
		FaultUnexpectedMessage, StateCertificate)
}

func TestServerCompressorConfig(t *testing.T) {
	calls := 0
	for name, list := range map[string][]CertificateCompressor{
		"an algorithm twice": {compressor(1, &calls), compressor(2, &calls), compressor(1, &calls)},
		"no function":        {compressor(1, &calls), {Algorithm: 2}},
	} {
		cfg, _, _ := serverSetup(t)
		cfg.CertificateCompressors = list
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// What is too large for the message is an error, not a broken message.
	cfg, client, _ := serverSetup(t)
	client.Hello = expander{[]uint16{2}, new([]uint16)}
	huge := make([]byte, 1<<24)
	cfg.CertificateCompressors = []CertificateCompressor{{2, func([]byte) ([]byte, error) { return huge, nil }}}
	if _, err := newPair(t, cfg, client, "").run(); !errors.Is(err, FaultInternal) {
		t.Errorf("a compressed certificate of 16 MiB: %v", err)
	}
}
