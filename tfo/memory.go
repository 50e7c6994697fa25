package tfo

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Memory remembers where Fast Open did harm, so that dials set out plainly there for a while. The zero value is ready, and is forgotten with the process;
// OpenMemory returns one that is not. It is safe for concurrent use, may be shared between Dialers, and must not be copied after first use.
// Snapshot and String show what it holds: at most 1024 destinations and networks, of which the one that was not needed for longest makes room.
//
// Harm is a SYN with a Fast Open option or data that had to be sent again, that had no answer while a plain SYN to the same address had one, that was
// answered by an error while a plain SYN was answered by a connection, or a connection that stalled (see Stalled).
//
// A suspicion counts as harm, or else every dial would lose the same time, or fail again for want of it. It falls on such a SYN when another address won, or the time of the
// dial was up, before a plain SYN to the same address could show that it fares better: one that was answered by an error, or that had no answer within a round trip and by
// the time that a plain attempt joins. (In a dial whose deadline passed, a round trip is enough, or 30 ms where that is unknown; not so in one that was
// cancelled.) A plain SYN that was answered by an error, or
// waited for as long itself, lifts the suspicion.
//
// # The rule
//
// A destination is avoided after one failure: the second dial must not be slower than plain TCP. The back-off is 5 minutes, and doubles
// with each failure in a row up to 24 hours. When it is over the next dial tries again, which costs it at most the time after which a plain attempt
// joins. A success clears it: a SYN-ACK without a retransmission. When three destinations
// have failed within an hour from the same network, and nothing succeeded between, then the network is to blame: everything from there is avoided, by
// the same steps; after such a back-off one failure is enough for the next. A suspicion says nothing about the network, for the address may as well
// be dead. A network is what shares an IPv4 source address or an IPv6 source prefix of 64 bits.
//
// A stall comes after a SYN-ACK, so such success does not clear one. It is cleared by a success 5 minutes after the back-off or later:
// a path that swallows data is met again within that time, where it is used at all often, and the rare stall of a healthy server is not.
//
// # Others, for comparison
//
//   - Apple, XNU (bsd/netinet/tcp_cache.c): per network; two losses or resets of a SYN with data or an option (TFO_MAX_COOKIE_LOSS), one sign of a
//     middlebox; 60 minutes, doubled each time up to 65536 minutes (net.inet.tcp.ecn_timeout, backoff_maximum), less the time for which it worked. A success clears
//     the counts.
//   - Firefox until version 86 (network.tcp.tcp_fastopen_consecutive_failure_limit, removed by bug 1689604): five failures in a row, then never again until the
//     restart; a plain connection joined after 250 ms. A host that had failed was dialled plainly.
//   - FreeBSD (sys/netinet/tcp_fastopen.c, net.inet.tcp.fastopen.path_disable_time): per client address, server address and port; one failure; 900
//     seconds.
//   - Linux (net/ipv4/tcp_fastopen.c, tcp_metrics.c): nothing per destination. net.ipv4.tcp_fastopen_blackhole_timeout_sec, by default 0, pauses it for
//     everything, and doubles 6 times.
//   - Chromium, while it had it (net/socket/tcp_socket_posix.cc): one failure; off until the restart.
//
// The steps here begin low because a single loss that was chance counts too, and because finding out that all is well again costs little: at most the time after which
// a plain attempt joins. Time for which it worked is not subtracted.
//
// Times are those of the wall clock when a Memory is stored, and clamped when it is read: no stored back-off lasts longer than 24 hours.
type Memory struct {
	mu      sync.Mutex
	entries map[place]*entry
	uses    uint64
	clock   func() time.Time // nil: time.Now
	surveys surveys          // has a lock of its own

	file   string     // see OpenMemory; "" if there is none
	saving sync.Mutex // taken before mu
}

const (
	firstBackOff = 5 * time.Minute
	mostBackOff  = 24 * time.Hour
	probation    = firstBackOff // after a back-off for a stall; constant, or else the rare stalls of a healthy server would add up

	networkFailures = 3         // so many destinations
	networkWindow   = time.Hour // within this time

	maxEntries  = 1024 // destinations and networks; the one that was not needed for longest goes
	maxFailures = 255  // counted
)

// Failure is how Fast Open failed. The list only grows.
type Failure uint8

const (
	FailureNone          Failure = iota
	FailureNoAnswer              // a SYN had no answer, and a plain one had
	FailureError                 // a SYN was answered by an error, a reset for instance, and a plain one by a connection
	FailureRetransmitted         // a SYN had to be sent again
	FailureStalled               // a connection stalled
	FailureSuspected             // a SYN had no answer in time, or an error, and whether a plain one had fared better is not known
)

var failures = [...]string{
	FailureNone:          "none",
	FailureNoAnswer:      "no answer to the SYN",
	FailureError:         "error",
	FailureRetransmitted: "syn retransmitted",
	FailureStalled:       "stalled",
	FailureSuspected:     "suspected",
}

func (f Failure) String() string {
	if int(f) < len(failures) {
		return failures[f]
	}
	return "failure?"
}

// place is a destination seen from a network, or with the zero destination the network itself.
type place struct {
	network     netip.Addr // the first address of its prefix; zero if unknown
	destination netip.Addr
}

// entry is what is remembered of a place.
type entry struct {
	failures int // in a row
	until    time.Time
	why      Failure
	recent   []mark // of a network: destinations that failed lately
	used     uint64 // when, by Memory.uses
}

type mark struct {
	destination netip.Addr
	at          time.Time
	stalled     bool
}

func (e *entry) backOff(p place) BackOff {
	return BackOff{p.network, p.destination, e.failures, e.until, e.why}
}

// networkOf returns what stands for the network of a source address.
func networkOf(source netip.Addr) netip.Addr {
	if source.Is6() {
		prefix, _ := source.Prefix(64)
		return prefix.Addr()
	}
	return source
}

// backOff is how long the given number of failures keeps Fast Open away.
func backOff(failures int) time.Duration {
	d := firstBackOff
	for range failures - 1 {
		if d *= 2; d >= mostBackOff {
			return mostBackOff
		}
	}
	return d
}

func (m *Memory) now() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return time.Now()
}

// avoids says whether a dial should set out plainly.
func (m *Memory) avoids(source, destination netip.Addr) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) == 0 {
		return false
	}
	now, network := m.now(), networkOf(source)
	return m.active(place{network, destination}, now) || m.active(place{network: network}, now)
}

func (m *Memory) active(p place, now time.Time) bool {
	e := m.entries[p]
	if e == nil {
		return false
	}
	m.use(e)
	return now.Before(e.until)
}

// Stalled tells that the connection of a stalled: its SYN data was acknowledged, and then nothing more came although something was due. a is from the Info of a
// dial with this Memory; a plain attempt is none of a Memory's business.
func (m *Memory) Stalled(a *Attempt) {
	if a != nil && a.Way == WayFastOpen {
		m.failed(a, FailureStalled)
	}
}

// failed notes a failure of a, and tells its dial's hooks.
func (m *Memory) failed(a *Attempt, why Failure) {
	if m == nil || a.moved {
		return
	}
	begun := m.noteFailure(a, why)
	if len(begun) > 0 {
		m.Save() // the caller's to ask for its error
	}
	for _, b := range begun {
		a.trace.backOffStart(b)
	}
}

// noteFailure returns the back-offs that begin.
func (m *Memory) noteFailure(a *Attempt, why Failure) (begun []BackOff) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, destination, network := m.now(), a.Addr.Addr(), networkOf(a.source)
	if b, ok := m.fail(place{network, destination}, now, why); ok {
		begun = append(begun, b)
	}
	if !network.IsValid() || why == FailureSuspected {
		return begun
	}
	e := m.entry(place{network: network})
	e.recent = slices.DeleteFunc(e.recent, func(k mark) bool {
		return k.destination == destination || now.Sub(k.at) > networkWindow
	})
	e.recent = append(e.recent, mark{destination, now, why == FailureStalled})
	if len(e.recent) >= networkFailures || e.failures > 0 {
		e.recent = nil
		if b, ok := m.fail(place{network: network}, now, why); ok {
			begun = append(begun, b)
		}
	}
	return begun
}

// fail begins the next back-off of a place. Failures of dials that began before the present one did are part of it.
func (m *Memory) fail(p place, now time.Time, why Failure) (begun BackOff, ok bool) {
	e := m.entry(p)
	if now.Before(e.until) {
		return BackOff{}, false
	}
	e.failures = min(e.failures+1, maxFailures)
	e.until, e.why = now.Add(backOff(e.failures)), why
	return e.backOff(p), true
}

// worked notes a success of a, and tells its dial's hooks.
func (m *Memory) worked(a *Attempt) {
	if m == nil || a.moved {
		return
	}
	cleared := m.noteSuccess(a)
	if len(cleared) > 0 {
		m.Save()
	}
	for _, b := range cleared {
		a.trace.backOffCleared(b)
	}
}

// noteSuccess returns the back-offs that are forgotten.
func (m *Memory) noteSuccess(a *Attempt) (cleared []BackOff) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) == 0 {
		return nil
	}
	now, network := m.now(), networkOf(a.source)
	for _, p := range [...]place{{network, a.Addr.Addr()}, {network: network}} {
		if b, ok := m.clear(p, now); ok {
			cleared = append(cleared, b)
		}
	}
	return cleared
}

// clear forgets a place, but for stalls.
func (m *Memory) clear(p place, now time.Time) (cleared BackOff, ok bool) {
	e := m.entries[p]
	if e == nil {
		return BackOff{}, false
	}
	e.recent = slices.DeleteFunc(e.recent, func(k mark) bool { return !k.stalled })
	if e.failures > 0 && (e.why != FailureStalled || !now.Before(e.until.Add(probation))) {
		cleared, ok = e.backOff(p), true
		e.failures, e.until, e.why = 0, time.Time{}, FailureNone
	}
	if e.failures == 0 && len(e.recent) == 0 {
		delete(m.entries, p)
	}
	return cleared, ok
}

// entry returns the entry of a place, and makes room for a new one.
func (m *Memory) entry(p place) *entry {
	e := m.entries[p]
	if e == nil {
		if m.entries == nil {
			m.entries = make(map[place]*entry)
		}
		if len(m.entries) >= maxEntries {
			m.evict()
		}
		e = new(entry)
		m.entries[p] = e
	}
	m.use(e)
	return e
}

func (m *Memory) use(e *entry) {
	m.uses++
	e.used = m.uses
}

// evict forgets the place that was not needed for longest. It looks at all of them, which only a failure costs.
func (m *Memory) evict() {
	var oldest place
	least := m.uses + 1
	for p, e := range m.entries {
		if e.used < least {
			oldest, least = p, e.used
		}
	}
	delete(m.entries, oldest)
}
