package handshake

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"testing"
)

var allGroups = []tls.CurveID{
	tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, groupMLKEM1024,
	tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
}

func TestKeyExchangeAgrees(t *testing.T) {
	keys, shares, err := generateKeyShares(allGroups, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range allGroups {
		g, ok := groupByID(id)
		if !ok || shares[i].group != id {
			t.Fatalf("%v: known %v, share of %v", id, ok, shares[i].group)
		}
		secret, answer, fault := g.answer(shares[i].data, rand.Reader)
		if fault != 0 {
			t.Fatalf("%v: server: %v", id, fault)
		}
		got, fault := keys[i].shared(answer)
		if fault != 0 || !bytes.Equal(got, secret) {
			t.Errorf("%v: client: %v, secrets equal: %v", id, fault, bytes.Equal(got, secret))
		}
	}
	// The hybrids carry the classical share that stands alone beside them.
	if !bytes.HasSuffix(shares[0].data, shares[4].data) || !bytes.HasPrefix(shares[1].data, shares[5].data) ||
		!bytes.HasPrefix(shares[2].data, shares[6].data) {
		t.Error("a hybrid does not share its classical key")
	}
}

// RFC 8446, section 4.2.8.2: shares are checked; 7.4.2: an all-zero X25519
// secret ends the handshake.
func TestKeyExchangeRefusesBadShares(t *testing.T) {
	for _, id := range allGroups {
		g, _ := groupByID(id)
		keys, shares, err := generateKeyShares([]tls.CurveID{id}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_, answer, _ := g.answer(shares[0].data, rand.Reader)
		bad := func(good []byte) [][]byte {
			noPoint := bytes.Clone(good)
			if g.kemFirst {
				clear(noPoint[len(noPoint)-g.pointLen:])
			} else {
				clear(noPoint[:g.pointLen])
			}
			list := [][]byte{nil, good[:len(good)-1], append(bytes.Clone(good), 0)}
			if g.curve != nil {
				list = append(list, noPoint)
			}
			return list
		}
		for i, share := range bad(shares[0].data) {
			if _, _, fault := g.answer(share, rand.Reader); fault != FaultBadKeyShare {
				t.Errorf("%v: server, bad share %d: %v", id, i, fault)
			}
		}
		for i, share := range bad(answer) {
			if _, fault := keys[0].shared(share); fault != FaultBadKeyShare {
				t.Errorf("%v: client, bad share %d: %v", id, i, fault)
			}
		}
		if g.kem != nil { // FIPS 203, section 7.2: the key's coefficients are reduced
			share := bytes.Clone(shares[0].data)
			at := g.pointLen
			if g.kemFirst {
				at = 0
			}
			share[at], share[at+1] = 0xff, 0xff
			if _, _, fault := g.answer(share, rand.Reader); fault != FaultBadKeyShare {
				t.Errorf("%v: unreduced encapsulation key: %v", id, fault)
			}
		}
	}
}

func TestKeyExchangeFailingRandom(t *testing.T) {
	none := bytes.NewReader(nil)
	for _, id := range allGroups {
		if _, _, err := generateKeyShares([]tls.CurveID{id}, none); err != io.EOF {
			t.Errorf("%v: %v", id, err)
		}
	}
	g, _ := groupByID(tls.X25519)
	if _, _, fault := g.answer(make([]byte, 32), none); fault != FaultInternal {
		t.Error(fault)
	}
	if _, _, err := generateKeyShares([]tls.CurveID{0x6a6a}, rand.Reader); err == nil {
		t.Error("a share of an unknown group")
	}
	if _, err := generateECDH(g.curve, none); err != io.EOF {
		t.Error(err)
	}
	p521, _ := groupByID(tls.CurveP521)
	ones := bytes.NewReader(bytes.Repeat([]byte{0xff}, 66*200))
	if _, err := generateECDH(p521.curve, ones); err == nil {
		t.Error("a scalar above the order was taken")
	}
}

// The same bytes give the same keys: recorded handshakes can be reproduced.
func TestKeySharesAreReproducible(t *testing.T) {
	for _, id := range allGroups {
		seed := make([]byte, 256)
		rand.Read(seed)
		seed[0], seed[1] = 1, 1 // below each order
		_, a, err := generateKeyShares([]tls.CurveID{id}, bytes.NewReader(seed))
		if err != nil {
			t.Fatal(err)
		}
		_, b, _ := generateKeyShares([]tls.CurveID{id}, bytes.NewReader(seed))
		if !bytes.Equal(a[0].data, b[0].data) {
			t.Errorf("%v differs", id)
		}
	}
}
