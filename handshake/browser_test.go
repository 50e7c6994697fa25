package handshake

import (
	"bytes"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// browser is a Builder of hellos that offer more than the compact one.
type browser struct {
	offer    []extension
	padding  func(int) (int, bool)
	settings map[string][]byte
}

func (b browser) BuildHello(cfg *Config, rand io.Reader) (*Hello, error) {
	h, err := CompactHello{}.BuildHello(cfg, rand)
	if err != nil {
		return nil, err
	}
	for _, e := range b.offer {
		v, _ := viewHello(h.Raw)
		h.Raw = more(len(h.Raw)-len(v.extensions)-2, e.typ, e.data...)(h.Raw)
	}
	h.Padding, h.ApplicationSettings = b.padding, b.settings
	h.Decompressors = map[uint16]func(io.Reader) (io.Reader, error){1: func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }}
	return h, nil
}

var (
	offerCompression = extension{extCompressCertificate, []byte{2, 0, 1}}
	offerLimit       = extension{extRecordSizeLimit, []byte{0x40, 1}}
	offerDelegated   = extension{extDelegatedCredential, []byte{0, 4, 8, 7, 4, 3}} // Ed25519, P-256
	offerALPS        = extension{extALPS, []byte{0, 3, 2, 'h', '2'}}
	offerALPSOld     = extension{extALPSOld, []byte{0, 3, 2, 'h', '2'}}
	offerECH         = extension{extECH, make([]byte, 100)}
	offerGREASE      = extension{0x1a1a, []byte{0}}
	offerAll         = []extension{offerGREASE, offerCompression, offerLimit, offerDelegated, offerALPS, offerECH, {0xdada, nil}}
)

// withOffers makes a client offer more.
func withOffers(offers ...extension) func(*scriptedServer, *Config) {
	return func(_ *scriptedServer, c *Config) { c.Hello = browser{offer: offers} }
}

// compressed turns a Certificate into a CompressedCertificate.
func compressed(algorithm uint16, change func(length int, data []byte) (int, []byte)) func([]byte) []byte {
	return func(msg []byte) []byte {
		var data bytes.Buffer
		w := zlib.NewWriter(&data)
		w.Write(msg[messageHeaderLen:])
		w.Close()
		n, out := len(msg)-messageHeaderLen, data.Bytes()
		if change != nil {
			n, out = change(n, out)
		}
		msg, _ = buildMessage(typeCompressed, func(b *cryptobyte.Builder) {
			b.AddUint16(algorithm)
			b.AddUint24(uint32(n))
			addBytes24(b, out)
		})
		return msg
	}
}

// delegation is a delegated credential of a test, and what can be wrong with it.
type delegation struct {
	validTime  uint32 // seconds after notBefore, which is an hour before testTime
	verify     tls.SignatureScheme
	algorithm  tls.SignatureScheme
	key        any // public
	context    string
	noUsage    bool // the certificate may not delegate
	noKeyUsage bool
	signer     any // the certificate's key, or nil: scriptKey
	lifetime   time.Duration
}

// goodDelegation is valid for another half an hour.
func goodDelegation() delegation {
	return delegation{validTime: 5400, verify: tls.Ed25519, algorithm: tls.Ed25519, key: delegatedKey.Public(), context: serverCredentialContext, lifetime: time.Hour}
}

var delegatedKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32))

// setup makes a scripted server use the credential.
func (d delegation) setup(t *testing.T, s *scriptedServer, cfg *Config) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: testTime.Add(-time.Hour), NotAfter: testTime.Add(d.lifetime),
	}
	if !d.noUsage {
		template.ExtraExtensions = []pkix.Extension{{Id: delegationUsage, Value: []byte{5, 0}}}
	}
	if d.noKeyUsage {
		template.KeyUsage = 0
	}
	var public any = scriptKey.Public()
	cert := tls.Certificate{PrivateKey: scriptKey}
	if key, ok := d.signer.(*rsa.PrivateKey); ok {
		public, cert.PrivateKey = key.Public(), key
	}
	leaf, err := x509.CreateCertificate(nil, template, template, public, scriptKey)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(d.key)
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddUint32(d.validTime)
	b.AddUint16(uint16(d.verify))
	addBytes24(&b, spki)
	credential := b.BytesOrPanic()
	algorithm := []byte{byte(d.algorithm >> 8), byte(d.algorithm)}
	signature, err := signTranscript(&cert, d.algorithm, d.context, slices.Concat(leaf, credential, algorithm), scriptRandom(5))
	if err != nil {
		signature = []byte{1}
	}
	b = cryptobyte.Builder{}
	b.AddBytes(credential)
	b.AddBytes(algorithm)
	addBytes16(&b, signature)
	dc := b.BytesOrPanic()
	cfg.Hello = browser{offer: []extension{offerDelegated}}
	s.cert = tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: delegatedKey}
	s.edit = at(StateCertificate, func(msg []byte) []byte { return certificateWith(leaf, extDelegatedCredential, dc) })
}

// certificateWith makes a Certificate whose leaf has an extension.
func certificateWith(leaf []byte, typ uint16, data []byte) []byte {
	msg, _ := buildMessage(typeCertificate, func(b *cryptobyte.Builder) {
		b.AddUint8(0)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			addBytes24(b, leaf)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				addExtension(b, typ, func(b *cryptobyte.Builder) { b.AddBytes(data) })
			})
		})
	})
	return msg
}

func TestDelegatedCredential(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), scriptRandom(6))
	rsaKey := newKey(t, "RSA").(*rsa.PrivateKey)
	tests := []struct {
		rule   string
		change func(*delegation)
		want   Fault
		text   string
	}{
		{"it is good", func(*delegation) {}, 0, ""},
		{"4.1.3: not expired", func(d *delegation) { d.validTime = 3599 }, FaultBadDelegatedCredential, "has expired"},
		{"4.1.3: in its last second", func(d *delegation) { d.validTime = 3600 }, 0, ""},
		{"4.1.3: seven days at most", func(d *delegation) { d.validTime, d.lifetime = 3600+7*86400+1, 1e6*time.Second }, FaultBadDelegatedCredential, "valid for too long"},
		{"4.1.3: just seven days", func(d *delegation) { d.validTime, d.lifetime = 3600+7*86400, 1e6*time.Second }, 0, ""},
		{"4.1.3: less than the certificate", func(d *delegation) { d.validTime = 7200 }, FaultBadDelegatedCredential, "valid for too long"},
		{"4.1.1: an algorithm that was offered", func(d *delegation) { d.verify = tls.ECDSAWithP384AndSHA384 }, FaultBadDelegatedCredential, "was not offered"},
		{"4.1.3: CertificateVerify uses it", func(d *delegation) { d.verify, d.key = tls.ECDSAWithP256AndSHA256, p256.Public() }, FaultBadSignatureAlgorithm, ""},
		{"4.1.3: CertificateVerify is by its key", func(d *delegation) { d.key = scriptKey.Public() }, FaultBadSignature, ""},
		{"4.2: the certificate may delegate", func(d *delegation) { d.noUsage = true }, FaultBadDelegatedCredential, "may not delegate"},
		{"4.2: the certificate may sign", func(d *delegation) { d.noKeyUsage = true }, FaultBadDelegatedCredential, "may not sign"},
		{"4.1.1: signed by an algorithm that was offered", func(d *delegation) { d.algorithm = tls.PKCS1WithSHA1 }, FaultBadDelegatedCredential, "not offered"},
		{"4: its own context", func(d *delegation) { d.context = serverSignatureContext }, FaultBadDelegatedCredential, "bad signature"},
		{"4.1.3: signed by the certificate", func(d *delegation) { d.algorithm = tls.ECDSAWithP256AndSHA256 }, FaultBadDelegatedCredential, "unacceptable signature algorithm"},
		{"7: not signed by RSA", func(d *delegation) { d.signer, d.algorithm = rsaKey, tls.PSSWithSHA256 }, FaultBadDelegatedCredential, "elliptic"},
		{"4.1.1: no RSA key in it", func(d *delegation) { d.key = rsaKey.Public() }, FaultBadDelegatedCredential, "elliptic"},
	}
	for _, test := range tests {
		d := goodDelegation()
		test.change(&d)
		s, cfg := newScript(t)
		d.setup(t, s, cfg)
		c := mustClient(t, cfg)
		_, err := run(c, s.flight(c.AppendOutput(nil)))
		if got := faultOf(err); got != test.want || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %v", test.rule, err, test.want)
		}
	}
}

// faultOf is the fault of an error, or 0.
func faultOf(err error) Fault {
	if local, ok := err.(*LocalError); ok {
		return local.Fault
	}
	return 0
}
