package utlshello

import (
	"bytes"
	"compress/zlib"
	"crypto/tls"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	utls "github.com/refraction-networking/utls"
	"golang.org/x/crypto/cryptobyte"

	"github.com/tlstfo/tlstfo/handshake"
)

// Sessions are resumed without early data, too, and after a HelloRetryRequest, by our server and by that of crypto/tls.
func TestResumption(t *testing.T) {
	for _, id := range append(seeds(t, 6), current...) {
		cfg, server := setup(t, Fingerprint(id))
		std := &tls.Config{Certificates: server.Certificates, NextProtos: server.NextProtos, Time: func() time.Time { return testTime }}
		for _, groups := range [][]tls.CurveID{nil, {tls.CurveP384}} {
			server.Groups, std.CurvePreferences = groups, groups
			for range 2 { // once without a session, once with that of the first
				o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
				check(t, id, cfg, o, err, groups != nil)
				if err == nil {
					cfg.Session = o.sessions[0]
				}
			}
			cfg.Session = nil
			for range 2 {
				o, err := connect(t, cfg, serveStd(t, std), nil, []byte("hello"))
				check(t, id, cfg, o, err, groups != nil)
				if err == nil {
					cfg.Session = o.sessions[0]
				}
			}
			cfg.Session = nil
		}
	}
}

// check checks a connection that resumes the session of the Config, if it has one.
func check(t *testing.T, id utls.ClientHelloID, cfg *handshake.Config, o outcome, err error, retried bool) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", id.Str(), err)
		return
	}
	state := o.client.ConnectionState()
	if string(o.echo) != "hello" || state.DidResume != (cfg.Session != nil) || state.HelloRetryRequest != retried && !isRandomized(id) || o.client.EarlyData() != handshake.EarlyNotOffered {
		t.Errorf("%s: echo %q, resumed %v, retried %v, early data %v", id.Str(), o.echo, state.DidResume, state.HelloRetryRequest, o.client.EarlyData())
	}
	if hellos := hellosIn(t, o.sent); hellos[len(hellos)-1].has(41) != (cfg.Session != nil) || hellos[0].has(42) {
		t.Errorf("%s: hellos %v", id.Str(), hellos)
	}
}

// A cookie stands where the imitated client has it: in NSS behind signature_algorithms, in BoringSSL behind supported_versions or,
// where it shuffles, anywhere between two of GREASE. All else of the second hello is as in the first.
func TestCookiePlace(t *testing.T) {
	for _, id := range usable {
		cfg, _ := setup(t, Fingerprint(id))
		c, err := handshake.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		first := hellosIn(t, c.AppendOutput(nil))[0]
		c.Feed(retryRequest(first))
		if _, err := c.Next(testTime); err != nil {
			t.Errorf("%s: %v", id.Str(), err)
			continue
		}
		second := hellosIn(t, c.AppendOutput(nil))[0]
		at := second.index(44)
		if at < 0 || string(second.extensions[at].data) != "\x00\x06cookie" {
			t.Errorf("%s: no cookie in %v", id.Str(), second.extensions)
			continue
		}
		before := second.extensions[at-1].typ
		switch {
		case isShuffled(id):
			last := len(second.extensions) - 1
			if second.extensions[last].typ == 21 {
				last--
			}
			if !handshake.IsGREASE(second.extensions[0].typ) || !handshake.IsGREASE(second.extensions[last].typ) || at >= last {
				t.Errorf("%s: the cookie is at %d of %v", id.Str(), at, second.extensions)
			}
		case id.Client == utls.HelloFirefox_Auto.Client && before != 13, id.Client != utls.HelloFirefox_Auto.Client && before != 43:
			t.Errorf("%s: the cookie is behind %d", id.Str(), before)
		}
		second.extensions = slices.Delete(second.extensions, at, at+1)
		changing := func(e extension) bool { return e.typ == 21 }
		a, b := slices.DeleteFunc(first.extensions, changing), slices.DeleteFunc(second.extensions, changing)
		if !slices.EqualFunc(a, b, func(a, b extension) bool { return a.typ == b.typ && bytes.Equal(a.data, b.data) }) {
			t.Errorf("%s: the second hello differs:\n%v\n%v", id.Str(), a, b)
		}
	}
}

// retryRequest is a HelloRetryRequest (RFC 8446, section 4.1.4) with a cookie and nothing else.
func retryRequest(h hello) []byte {
	// Section 4.1.3: SHA-256 of "HelloRetryRequest".
	random := []byte("\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c")
	var b cryptobyte.Builder
	b.AddBytes([]byte{22, 3, 3})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(2)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(0x0303)
			b.AddBytes(random)
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(h.sessionID) })
			b.AddUint16(tls.TLS_AES_128_GCM_SHA256)
			b.AddUint8(0)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddBytes([]byte{0, 43, 0, 2, 3, 4})
				b.AddUint16(44)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("\x00\x06cookie")) })
			})
		})
	})
	return b.BytesOrPanic()
}

// compressors are a server's, in its order. They count how often they are asked.
func compressors(calls map[uint16]int, ids ...uint16) (list []handshake.CertificateCompressor) {
	for _, id := range ids {
		list = append(list, handshake.CertificateCompressor{Algorithm: id, Compress: func(certificate []byte) ([]byte, error) {
			calls[id]++
			var out bytes.Buffer
			var w io.WriteCloser
			switch id {
			case 1:
				w = zlib.NewWriter(&out)
			case 2:
				w = brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 9, LGWin: 24})
			case 3:
				w, _ = zstd.NewWriter(&out, zstd.WithWindowSize(8<<20))
			}
			w.Write(certificate)
			err := w.Close()
			return out.Bytes(), err
		}})
	}
	return list
}

// A server compresses its certificate by the algorithm that a client offers: brotli for Chrome, zlib for Safari, and all three for a
// spec that has them.
func TestCertificateCompression(t *testing.T) {
	all, err := utls.UTLSIdToSpec(utls.HelloSafari_Auto)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Extensions {
		if c, ok := e.(*utls.UtlsCompressCertExtension); ok {
			c.Algorithms = []utls.CertCompressionAlgo{utls.CertCompressionZlib, utls.CertCompressionBrotli, utls.CertCompressionZstd}
		}
	}
	for _, test := range []struct {
		b      *Builder
		server []uint16
		want   uint16
	}{
		{Fingerprint(utls.HelloChrome_Auto), []uint16{3, 1, 2}, 2}, {Fingerprint(utls.HelloEdge_Auto), []uint16{1, 2}, 2},
		{Fingerprint(utls.HelloSafari_Auto), []uint16{3, 2, 1}, 1}, {Fingerprint(utls.HelloFirefox_Auto), []uint16{1, 2, 3}, 0},
		{Spec(&all), []uint16{1, 2, 3}, 1}, {Spec(&all), []uint16{2, 1, 3}, 2}, {Spec(&all), []uint16{3, 1, 2}, 3},
	} {
		cfg, server := setup(t, test.b)
		// Something that compresses: Certificates are mostly random bytes.
		server.Certificates[0].OCSPStaple = bytes.Repeat([]byte("staple"), 2000)
		calls := make(map[uint16]int)
		server.CertificateCompressors = compressors(calls, test.server...)
		o, err := connect(t, cfg, serveOurs(t, server), nil, []byte("hello"))
		if err != nil || string(o.echo) != "hello" {
			t.Errorf("%s, algorithm %d: %v", test.b.name, test.want, err)
			continue
		}
		if len(calls) > 1 || calls[test.want] != min(int(test.want), 1) {
			t.Errorf("%s: compressed by %v, want %d", test.b.name, calls, test.want)
		}
		if got := o.client.ConnectionState().OCSPResponse; !bytes.Equal(got, server.Certificates[0].OCSPStaple) {
			t.Errorf("%s: a staple of %d bytes", test.b.name, len(got))
		}
	}
}
