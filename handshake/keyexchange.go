package handshake

import (
	"crypto"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/tls"
	"errors"
	"io"
)

// groupMLKEM1024 is ML-KEM-1024 without a classical part. Nothing offers it
// unless a caller lists it.
const groupMLKEM1024 tls.CurveID = 0x0202

// keyShare is a KeyShareEntry (RFC 8446, section 4.2.8).
type keyShare struct {
	group tls.CurveID
	data  []byte
}

// group is how a named group exchanges keys: by a classical curve, by ML-KEM,
// or by both, where share and secret are the two parts one after the other.
type group struct {
	id        tls.CurveID
	classical tls.CurveID // 0: no classical part
	curve     ecdh.Curve  // nil: no classical part
	pointLen  int         // a share's classical part
	kem       kem         // nil: no ML-KEM part
	kemFirst  bool        // the ML-KEM part stands first
}

// groupByID returns the group, or false for one that we do not have.
func groupByID(id tls.CurveID) (group, bool) {
	switch id {
	case tls.X25519:
		return group{id, tls.X25519, ecdh.X25519(), 32, nil, false}, true
	case tls.CurveP256:
		return group{id, tls.CurveP256, ecdh.P256(), 65, nil, false}, true
	case tls.CurveP384:
		return group{id, tls.CurveP384, ecdh.P384(), 97, nil, false}, true
	case tls.CurveP521:
		return group{id, tls.CurveP521, ecdh.P521(), 133, nil, false}, true
	case tls.X25519MLKEM768:
		return group{id, tls.X25519, ecdh.X25519(), 32, kem768{}, true}, true
	case tls.SecP256r1MLKEM768:
		return group{id, tls.CurveP256, ecdh.P256(), 65, kem768{}, false}, true
	case tls.SecP384r1MLKEM1024:
		return group{id, tls.CurveP384, ecdh.P384(), 97, kem1024{}, false}, true
	case groupMLKEM1024:
		return group{id, 0, nil, 0, kem1024{}, true}, true
	}
	return group{}, false
}

// PostQuantum tells whether the group is one of this package that withstands a
// quantum computer: a hybrid, or ML-KEM alone.
func PostQuantum(id tls.CurveID) bool { g, ok := groupByID(id); return ok && g.kem != nil }

// kem is one parameter set of ML-KEM (FIPS 203).
type kem interface {
	newKey(seed []byte) (crypto.Decapsulator, error)
	newPublicKey(data []byte) (crypto.Encapsulator, error)
	publicLen() int
	ciphertextLen() int
}

type kem768 struct{}

func (kem768) newKey(seed []byte) (crypto.Decapsulator, error) {
	return mlkem.NewDecapsulationKey768(seed)
}
func (kem768) newPublicKey(data []byte) (crypto.Encapsulator, error) {
	return mlkem.NewEncapsulationKey768(data)
}
func (kem768) publicLen() int     { return mlkem.EncapsulationKeySize768 }
func (kem768) ciphertextLen() int { return mlkem.CiphertextSize768 }

type kem1024 struct{}

func (kem1024) newKey(seed []byte) (crypto.Decapsulator, error) {
	return mlkem.NewDecapsulationKey1024(seed)
}
func (kem1024) newPublicKey(data []byte) (crypto.Encapsulator, error) {
	return mlkem.NewEncapsulationKey1024(data)
}
func (kem1024) publicLen() int     { return mlkem.EncapsulationKeySize1024 }
func (kem1024) ciphertextLen() int { return mlkem.CiphertextSize1024 }

// ShareKey is the private key behind one key share of a Hello.
type ShareKey struct {
	Group tls.CurveID
	ECDH  *ecdh.PrivateKey    // nil where the group has no classical part
	MLKEM crypto.Decapsulator // nil where the group has no ML-KEM part
}

// generateKeyShares makes one key share for each group, in order. A hybrid and
// the classical group that is a part of it share the classical key, which
// draft-ietf-tls-hybrid-design, section 3.2, allows.
func generateKeyShares(groups []tls.CurveID, rand io.Reader) ([]ShareKey, []keyShare, error) {
	var keys []ShareKey
	var shares []keyShare
	for _, id := range groups {
		g, ok := groupByID(id)
		if !ok {
			return nil, nil, errors.New("tls: unsupported group " + id.String())
		}
		k := ShareKey{Group: id}
		for _, other := range keys {
			if o, _ := groupByID(other.Group); o.classical == g.classical {
				k.ECDH = other.ECDH
			}
		}
		public, err := k.generate(g, rand)
		if err != nil {
			return nil, nil, err
		}
		keys, shares = append(keys, k), append(shares, keyShare{id, public})
	}
	return keys, shares, nil
}

// GenerateKeyShare makes a key share of its own for the group, for a Builder:
// the private key for Hello.Keys, and the share for Hello.Raw. An error
// names the group if this package does not have it.
func GenerateKeyShare(group tls.CurveID, rand io.Reader) (ShareKey, []byte, error) {
	keys, shares, err := generateKeyShares([]tls.CurveID{group}, rand)
	if err != nil {
		return ShareKey{}, nil, err
	}
	return keys[0], shares[0].data, nil
}

// generate fills in the parts that are missing and returns the key share.
func (k *ShareKey) generate(g group, rand io.Reader) (public []byte, err error) {
	if k.ECDH == nil && g.curve != nil {
		if k.ECDH, err = generateECDH(g.curve, rand); err != nil {
			return nil, err
		}
	}
	var point, encapsulation []byte
	if k.ECDH != nil {
		point = k.ECDH.PublicKey().Bytes()
	}
	if g.kem != nil {
		seed := make([]byte, mlkem.SeedSize)
		if _, err := io.ReadFull(rand, seed); err != nil {
			return nil, err
		}
		k.MLKEM, err = g.kem.newKey(seed)
		clear(seed)
		if err != nil {
			return nil, err
		}
		encapsulation = k.MLKEM.Encapsulator().Bytes()
	}
	return g.join(point, encapsulation), nil
}

// shared is the client's half: the secret from the server's share. A share
// that is no public key, or gives no secret, is FaultBadKeyShare (RFC 8446,
// sections 4.2.8.2 and 7.4.2); FaultInternal means that a Builder gave the wrong
// parts.
func (k *ShareKey) shared(serverShare []byte) ([]byte, Fault) {
	g, ok := groupByID(k.Group)
	if !ok || (g.curve != nil) != (k.ECDH != nil) || (g.kem != nil) != (k.MLKEM != nil) {
		return nil, FaultInternal
	}
	kemLen := 0
	if g.kem != nil {
		kemLen = g.kem.ciphertextLen()
	}
	point, ciphertext, ok := g.cut(serverShare, kemLen)
	if !ok {
		return nil, FaultBadKeyShare
	}
	var classical, quantum []byte
	var err error
	if k.ECDH != nil {
		var fault Fault
		if classical, fault = agree(k.ECDH, point); fault != 0 {
			return nil, fault
		}
	}
	if k.MLKEM != nil {
		if quantum, err = k.MLKEM.Decapsulate(ciphertext); err != nil {
			return nil, FaultBadKeyShare
		}
	}
	return g.joinSecrets(classical, quantum), 0
}

// answer is the server's half: the secret, and the server's share, for a
// client's share. A bad client share is FaultBadKeyShare; FaultInternal means
// that the random source failed.
func (g group) answer(clientShare []byte, rand io.Reader) (shared, serverShare []byte, fault Fault) {
	kemLen := 0
	if g.kem != nil {
		kemLen = g.kem.publicLen()
	}
	point, encapsulation, ok := g.cut(clientShare, kemLen)
	if !ok {
		return nil, nil, FaultBadKeyShare
	}
	var classical, public, quantum, ciphertext []byte
	if g.curve != nil {
		key, err := generateECDH(g.curve, rand)
		if err != nil {
			return nil, nil, FaultInternal
		}
		if classical, fault = agree(key, point); fault != 0 {
			return nil, nil, fault
		}
		public = key.PublicKey().Bytes()
	}
	if g.kem != nil {
		peer, err := g.kem.newPublicKey(encapsulation)
		if err != nil {
			return nil, nil, FaultBadKeyShare
		}
		quantum, ciphertext = peer.Encapsulate()
	}
	return g.joinSecrets(classical, quantum), g.join(public, ciphertext), 0
}

// agree is (EC)DHE. crypto/ecdh checks that the peer's point is on the curve
// and that the result is not zero (RFC 8446, sections 4.2.8.2 and 7.4.2).
func agree(key *ecdh.PrivateKey, point []byte) ([]byte, Fault) {
	peer, err := key.Curve().NewPublicKey(point)
	if err != nil {
		return nil, FaultBadKeyShare
	}
	shared, err := key.ECDH(peer)
	if err != nil {
		return nil, FaultBadKeyShare
	}
	return shared, 0
}

// join puts the two parts in the group's order.
func (g group) join(classical, quantum []byte) []byte {
	if g.kemFirst {
		classical, quantum = quantum, classical
	}
	return append(append([]byte(nil), classical...), quantum...)
}

// joinSecrets is join, and clears the parts.
func (g group) joinSecrets(classical, quantum []byte) []byte {
	defer clear(classical)
	defer clear(quantum)
	return g.join(classical, quantum)
}

// cut is the reverse of join for a share whose ML-KEM part has kemLen bytes.
func (g group) cut(share []byte, kemLen int) (classical, quantum []byte, ok bool) {
	if len(share) != g.pointLen+kemLen {
		return nil, nil, false
	}
	if g.kemFirst {
		return share[kemLen:], share[:kemLen], true
	}
	return share[:g.pointLen], share[g.pointLen:], true
}

// generateECDH makes a key out of rand's bytes and nothing else, so that a
// recorded handshake can be reproduced (crypto/ecdh's own GenerateKey does not
// promise to use the reader).
func generateECDH(curve ecdh.Curve, rand io.Reader) (*ecdh.PrivateKey, error) {
	size := 32
	switch curve {
	case ecdh.P384():
		size = 48
	case ecdh.P521():
		size = 66
	}
	scalar := make([]byte, size)
	for range 128 {
		if _, err := io.ReadFull(rand, scalar); err != nil {
			return nil, err
		}
		if curve == ecdh.P521() {
			scalar[0] &= 1 // 521 bits
		}
		if key, err := curve.NewPrivateKey(scalar); err == nil {
			clear(scalar)
			return key, nil
		}
		// Not below the order of the curve: one in 2^32 at most, with an
		// honest source.
	}
	return nil, errors.New("tls: the random source gives no private key")
}
