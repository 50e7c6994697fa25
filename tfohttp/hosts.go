package tfohttp

import "sync"

const maxHosts = 4096 // hosts whose protocol is remembered

// hosts is what is known of servers: which protocol they choose. The zero value works.
type hosts struct {
	mu        sync.Mutex
	protos    map[string]string // by host and port
	decisions map[string]*decision
	spares    map[spareKey]*spare
}

// A decision is a dial that finds out which protocol a server chooses.
type decision struct {
	done chan struct{}
	err  error // set before done is closed
}

// proto returns the protocol that a server is known to choose, or "".
func (h *hosts) proto(host string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.protos[host]
}

// learn remembers what a server chose.
func (h *hosts) learn(host, proto string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.protos == nil {
		h.protos = make(map[string]string)
	}
	if _, known := h.protos[host]; !known && len(h.protos) >= maxHosts {
		for some := range h.protos {
			delete(h.protos, some)
			break
		}
	}
	h.protos[host] = proto
}

// decide returns the decision that is under way for a host, or begins one: then the caller is to call decided.
func (h *hosts) decide(host string) (d *decision, begun bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.decisions[host]; d != nil {
		return d, false
	}
	if h.decisions == nil {
		h.decisions = make(map[string]*decision)
	}
	d = &decision{done: make(chan struct{})}
	h.decisions[host] = d
	return d, true
}

// decided ends a decision.
func (h *hosts) decided(host string, d *decision, err error) {
	h.mu.Lock()
	delete(h.decisions, host)
	h.mu.Unlock()
	d.err = err
	close(d.done)
}
