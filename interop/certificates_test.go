package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// credentials are the files that servers and clients are configured with.
type credentials struct {
	dir           string
	ca            string
	cert, key     string // the server's
	both          string // certificate and key in one file, as HAProxy wants it
	user, userKey string // a client's
	big, bigKey   string // a client's, so big that a ticket with it in it does not fit a SYN
}

func newCredentials(t *testing.T) *credentials {
	t.Helper()
	c := &credentials{dir: t.TempDir()}
	caKey := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.ca = c.write(t, "ca.pem", certificatePEM(der))
	issue := func(name string, sans ...string) (cert, key string) {
		k := newKey(t)
		leaf := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: sans[0]}, DNSNames: sans,
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, k.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
		return c.write(t, name+".pem", certificatePEM(der)), c.write(t, name+".key", keyPEM)
	}
	c.cert, c.key = issue("server", serverName, strings.Repeat("a-long-name.", 6)+serverName)
	c.user, c.userKey = issue("user", "user.test")
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("%s-%d.test", strings.Repeat("n", 40), i))
	}
	c.big, c.bigKey = issue("big", names...)
	c.both = c.write(t, "both.pem", append(read(t, c.cert), read(t, c.key)...))
	return c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// write makes a file that servers can read which gave up root's rights, and returns its path.
func (c *credentials) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
