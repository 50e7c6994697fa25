package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// checkSuites checks the cipher suites that a server of TLS 1.3 selects from: at
// least one is there, none twice, and none that this package does not have.
func (c *Client) checkSuites() error {
	usable := make(map[uint16]bool)
	for list, id := c.base.suites, uint16(0); list.ReadUint16(&id); {
		switch name := missingSuites[id]; {
		case usable[id]:
			return fmt.Errorf("tls: the ClientHello offers cipher suite %#04x twice", id)
		case suiteByID(id) != nil:
			usable[id] = true
		case IsGREASE(id):
		case name != "" || id>>8 == 0x13:
			return fmt.Errorf("tls: the ClientHello offers a cipher suite that is not supported, %s (%#04x)", named(name), id)
		}
	}
	if len(usable) == 0 {
		return errors.New("tls: the ClientHello offers no cipher suite for TLS 1.3")
	}
	return nil
}

// checkGroup checks a group of supported_groups, which a server can ask a share
// for. Those of RFC 7919 may be listed for show, since Firefox lists them: a server that
// asks for one, which is a server without any curve, gets FaultGroupForShow.
func checkGroup(id uint16) error {
	_, ok := groupByID(tls.CurveID(id))
	switch {
	case ok || IsGREASE(id) || isFiniteField(id):
	case 1 <= id && id <= 22 || 26 <= id && id <= 28 || id == 0xff01 || id == 0xff02: // not for TLS 1.3 (RFC 8446, section 4.2.7)
	default:
		return fmt.Errorf("the group %s (%d) is not supported", named(missingGroups[id]), id)
	}
	return nil
}

// isFiniteField tells whether a group is one of RFC 7919: ffdhe2048 to ffdhe8192.
func isFiniteField(id uint16) bool { return 256 <= id && id <= 260 }

// checkAlgorithm checks an algorithm that a server can sign its
// CertificateVerify with. Those that TLS 1.3 has for certificates only, or not at all, are
// listed for servers of TLS 1.2 (RFC 8446, section 4.2.3).
func checkAlgorithm(id tls.SignatureScheme) error {
	_, ok := signatureHash(id)
	switch {
	case ok || IsGREASE(uint16(id)):
	case id>>8 <= 6 && id&0xff <= 3: // a hash, and RSA, DSA or ECDSA, of TLS 1.2 (RFC 5246, section 7.4.1.4.1)
	case id == 0x0420 || id == 0x0520 || id == 0x0620: // PKCS #1 v1.5, with which only clients sign (RFC 9963, section 2)
	default:
		return fmt.Errorf("the algorithm %s (%#04x) is not supported", named(missingAlgorithms[id]), uint16(id))
	}
	return nil
}

// checkList checks all entries of an extension that is a list of numbers.
func checkList[T ~uint16](data cryptobyte.String, check func(T) error) error {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || list.Empty() || len(list)%2 != 0 {
		return errMalformed
	}
	for id := uint16(0); list.ReadUint16(&id); {
		if err := check(T(id)); err != nil {
			return err
		}
	}
	return nil
}

func named(name string) string {
	if name == "" {
		return "an unknown one"
	}
	return name
}

// What TLS 1.3 has and this package has not, for the errors that name it.
var (
	missingSuites = map[uint16]string{
		0x1304: "TLS_AES_128_CCM_SHA256", 0x1305: "TLS_AES_128_CCM_8_SHA256", 0x1306: "TLS_AEGIS_256_SHA512", 0x1307: "TLS_AEGIS_128L_SHA256",
		0x00c6: "TLS_SM4_GCM_SM3", 0x00c7: "TLS_SM4_CCM_SM3", 0xc0b4: "TLS_SHA256_SHA256", 0xc0b5: "TLS_SHA384_SHA384",
		0xc103: "TLS_GOSTR341112_256_WITH_KUZNYECHIK_MGM_L", 0xc104: "TLS_GOSTR341112_256_WITH_MAGMA_MGM_L",
		0xc105: "TLS_GOSTR341112_256_WITH_KUZNYECHIK_MGM_S", 0xc106: "TLS_GOSTR341112_256_WITH_MAGMA_MGM_S",
	}
	missingGroups = map[uint16]string{
		30: "x448", 31: "brainpoolP256r1tls13", 32: "brainpoolP384r1tls13", 33: "brainpoolP512r1tls13", 41: "curveSM2",
		512: "MLKEM512", 513: "MLKEM768", 0x6399: "a Kyber draft",
	}
	missingAlgorithms = map[tls.SignatureScheme]string{
		0x0708: "sm2sig_sm3", 0x0808: "ed448", 0x0809: "rsa_pss_pss_sha256", 0x080a: "rsa_pss_pss_sha384", 0x080b: "rsa_pss_pss_sha512",
		0x081a: "ecdsa_brainpoolP256r1tls13_sha256", 0x081b: "ecdsa_brainpoolP384r1tls13_sha384", 0x081c: "ecdsa_brainpoolP512r1tls13_sha512",
		0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
	}
)
