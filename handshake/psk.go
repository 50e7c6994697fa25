package handshake

import (
	"errors"
	"hash"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// helloEdit is what turns a Builder's hello into the one that is sent. The
// zero value changes nothing but to take out early_data, pre_shared_key and the place of a cookie.
type helloEdit struct {
	earlyData bool                                    // with early_data (RFC 8446, section 4.2.10)
	share     *keyShare                               // the one share that replaces key_share (section 4.1.2)
	cookie    []byte                                  // a cookie to echo (section 4.2.2)
	padding   func(unpadded int) (zeros int, ok bool) // nil: padding stays

	session *Session // offered in pre_shared_key (section 4.2.11), or nil
	age     time.Duration
}

func (e *helloEdit) empty() bool {
	return !e.earlyData && e.share == nil && e.cookie == nil && e.session == nil && e.padding == nil
}

// apply edits a hello. The binder that a pre_shared_key ends with is still
// zero: setBinder computes it.
func (e *helloEdit) apply(hello *helloView) ([]byte, error) {
	if e.padding == nil {
		return e.build(hello, -1)
	}
	unpadded, err := e.build(hello, -1)
	if err != nil {
		return nil, err
	}
	zeros, ok := e.padding(len(unpadded))
	if !ok || !hello.offers(extPadding) {
		return unpadded, nil
	}
	if zeros > 0xffff {
		return nil, errors.New("padding of more than 65535 bytes")
	}
	return e.build(hello, zeros)
}

// build makes the edited hello; if padding is computed, with that many zeros of
// it, or without it if that is negative.
func (e *helloEdit) build(hello *helloView, zeros int) ([]byte, error) {
	size := len(hello.message) + len(e.cookie) + max(zeros, 0) + 8
	if e.share != nil {
		size += len(e.share.data)
	}
	if e.session != nil {
		size += len(e.session.Ticket) + len(e.session.Secret) + 20
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, size))
	b.AddUint8(uint8(typeClientHello))
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		fixed := len(hello.message) - len(hello.extensions) - 2
		b.AddBytes(hello.message[messageHeaderLen:fixed])
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { e.addExtensions(b, hello, zeros) })
	})
	return b.Bytes()
}

func (e *helloEdit) addExtensions(b *cryptobyte.Builder, hello *helloView, zeros int) {
	var typ uint16
	var data cryptobyte.String
	earlyData, cookie := e.earlyData, e.cookie
	addCookie := func() {
		if cookie != nil {
			addExtension(b, extCookie, func(b *cryptobyte.Builder) { addBytes16(b, cookie) })
		}
		cookie = nil
	}
	for list := hello.extensions; nextExtension(&list, &typ, &data); {
		switch {
		case typ == extPreSharedKey:
			continue
		case typ == extEarlyData:
			if !earlyData {
				continue
			}
			earlyData = false
		case typ == extKeyShare && e.share != nil:
			addKeyShares(b, []keyShare{*e.share})
			continue
		case typ == extCookie && (e.cookie != nil || len(data) == 0):
			addCookie() // its place is here
			continue
		case typ == extPadding && e.padding != nil:
			if zeros >= 0 {
				addExtension(b, extPadding, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, zeros)) })
			}
			continue
		case typ == extPSKModes && !hello.offers(extCookie):
			addCookie() // where other clients have it
		}
		b.AddUint16(typ)
		b.AddUint16(uint16(len(data)))
		b.AddBytes(data)
	}
	addCookie()
	if earlyData {
		b.AddUint16(extEarlyData)
		b.AddUint16(0)
	}
	if e.session != nil {
		e.addPSK(b) // the last extension (section 4.2.11)
	}
}

// addPSK adds pre_shared_key with one identity and a binder of zeros.
func (e *helloEdit) addPSK(b *cryptobyte.Builder) {
	addExtension(b, extPreSharedKey, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			addBytes16(b, e.session.Ticket)
			// Section 4.2.11.1: milliseconds, modulo 2^32.
			b.AddUint32(uint32(max(e.age, 0)/time.Millisecond) + e.session.AgeAdd)
		})
		n := len(e.session.Secret) // as long as the suite's hash
		b.AddUint16(uint16(1 + n))
		b.AddUint8(uint8(n))
		b.AddBytes(make([]byte, n))
	})
}

// setBinder computes the binder that ends the hello (section 4.2.11.2). The
// transcript has what was before the hello, and has the hello too afterwards.
func setBinder(hello []byte, early *earlySecret, transcript hash.Hash) {
	n := early.suite.hashLen
	truncated := hello[:len(hello)-2-1-n]
	transcript.Write(truncated)
	copy(hello[len(hello)-n:], early.binder(transcript.Sum(nil)))
	transcript.Write(hello[len(truncated):])
}
