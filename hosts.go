package tlstfo

import (
	"container/list"
	"crypto/tls"
	"sync"
	"time"
)

const (
	maxHosts = 4096 // hosts that a Dialer remembers something of

	// stdFor is how long a server that negotiated less than TLS 1.3 is dialled
	// through crypto/tls at once.
	stdFor = 24 * time.Hour
	// earlyPause is how long no early data is sent to a server on which a dial
	// with early data broke. It is short: whoever is on the path can cause it.
	earlyPause = 5 * time.Minute
)

// host is what a Dialer remembers of a server. Nothing in it is secret, and
// nothing in it weakens a connection: it only costs or saves round trips.
type host struct {
	stdUntil   time.Time     // it speaks no TLS 1.3
	pauseUntil time.Time     // it broke on early data
	group      tls.CurveID   // what it chose in the last full handshake
	slow       time.Duration // what it takes to answer, from the SYN-ACK on, since a hedge was in vain; 0: not so long
}

// noteSlow notes what the server took to answer; 0: that was not measured.
func (h *host) noteSlow(took time.Duration) {
	switch {
	case 2*took > hedgeMin:
		h.slow = took
	case took > 0:
		h.slow = 0 // it has as much time anyway
	}
}

// hosts is a bounded map from session key to host; the zero value works.
type hosts struct {
	of *Dialer // whose hosts these are in truth (see Dialer.WithTLSConfig), or nil

	mu    sync.Mutex
	byKey map[string]*list.Element
	order list.List // least recently changed first
}

type hostEntry struct {
	key string
	host
}

// get returns what is known of a host.
func (h *hosts) get(key string) host {
	if h.of != nil {
		h = &h.of.hosts
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.byKey[key]; e != nil {
		return e.Value.(*hostEntry).host
	}
	return host{}
}

// change lets f change what is known of a host.
func (h *hosts) change(key string, f func(*host)) {
	if h.of != nil {
		h = &h.of.hosts
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byKey[key]
	if e == nil {
		if h.byKey == nil {
			h.byKey = make(map[string]*list.Element)
		}
		if len(h.byKey) >= maxHosts {
			oldest := h.order.Front()
			delete(h.byKey, h.order.Remove(oldest).(*hostEntry).key)
		}
		e = h.order.PushBack(&hostEntry{key: key})
		h.byKey[key] = e
	}
	h.order.MoveToBack(e)
	f(&e.Value.(*hostEntry).host)
}
