package netlab

import (
	"container/heap"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A wire carries Ethernet frames between two packet sockets, one per host, and logs the TCP packets among them.
type wire struct {
	ports [2]int // packet sockets, by side-1
	start time.Time
	keep  int // payload bytes per packet in the log
	max   int // packets in the log

	queue  queue  // touched by the wire's goroutine only
	pushed uint64 // frames so far

	mu    sync.Mutex
	delay time.Duration // one way
	rules []namedRule
	log   []*Packet
	lost  int
}

type namedRule struct {
	name  string
	apply rule
}

func newWire(cfg Config, ports [2]int) *wire {
	return &wire{ports: ports, start: time.Now(), keep: cfg.PayloadBytes, max: cfg.MaxPackets, delay: cfg.RTT / 2}
}

// run forwards frames until a port fails. It sleeps in ppoll because the Go runtime's timers may be a millisecond late.
func (w *wire) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	bePunctual()
	fds := []unix.PollFd{{Fd: int32(w.ports[0]), Events: unix.POLLIN}, {Fd: int32(w.ports[1]), Events: unix.POLLIN}}
	buf, control := make([]byte, 1<<16), make([]byte, 256)
	for {
		var timeout *unix.Timespec
		if len(w.queue) > 0 {
			ts := unix.NsecToTimespec(max(0, time.Until(w.queue[0].due)).Nanoseconds())
			timeout = &ts
		}
		if _, err := unix.Ppoll(fds, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("netlab: wire: poll: %w", err)
		}
		for i, port := range w.ports {
			if fds[i].Revents == 0 {
				continue
			}
			if err := w.receive(Side(i+1), port, buf, control); err != nil {
				return err
			}
		}
		w.deliver()
	}
}

// bePunctual asks that the calling thread wake up on time, also on a busy machine. Nothing depends on it, so a refusal is no error.
func bePunctual() {
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // in ns, instead of 50 us
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if unix.SchedSetAttr(0, &attr, 0) != nil { // for root only
		// Short turns, and therefore early ones, are everybody's right (from Linux 6.12).
		attr = unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Runtime: uint64(100 * time.Microsecond)}
		unix.SchedSetAttr(0, &attr, 0)
	}
}

// receiveBatch bounds how many frames are taken from one port before what is due is delivered.
const receiveBatch = 64

func (w *wire) receive(from Side, port int, buf, control []byte) error {
	for range receiveBatch {
		n, cn, _, _, err := unix.Recvmsg(port, buf, control, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
			continue
		case err != nil:
			return fmt.Errorf("netlab: wire: receive from the %v: %w", from, err)
		}
		w.accept(from, slices.Clone(buf[:n]), arrival(control[:cn]))
	}
	return nil
}

// arrival returns the kernel's receive time stamp, so that a late wake-up of this process does not lengthen the delay.
func arrival(control []byte) time.Time {
	now := time.Now()
	hdr, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || hdr.Level != unix.SOL_SOCKET || hdr.Type != unix.SCM_TIMESTAMPNS || len(data) < timespecSize {
		return now
	}
	age := now.Sub(timespec(data))
	return now.Add(-min(max(age, 0), time.Second)) // bounded, should the wall clock be set meanwhile
}

// accept puts one frame on the wire.
func (w *wire) accept(from Side, raw []byte, at time.Time) {
	packet, where, kind := parse(raw)
	if kind == neighbourTraffic {
		w.push(transit{due: at, to: from.other(), raw: raw})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind != tcpTraffic {
		w.push(transit{due: at.Add(w.delay), to: from.other(), raw: raw})
		return
	}
	packet.From, packet.Sent = from, at.Sub(w.start)
	w.judge(frame{Packet: packet, at: where, raw: raw}, at)
}

// judge takes a TCP packet through the rules, logs it and what they made of it, and sends that on its way.
func (w *wire) judge(original frame, at time.Time) {
	original.entry = w.record(original.Packet)
	frames := []frame{original}
	for _, r := range w.rules {
		var next []frame
		for _, f := range frames {
			outs := []frame{f}
			if !f.back {
				outs = r.apply(f)
			}
			passed := false
			for _, out := range outs {
				if out.entry != nil {
					passed = true
				} else if out.maker == "" {
					out.maker = r.name
				}
				next = append(next, out)
			}
			if f.entry != nil && !passed {
				f.entry.Fate, f.entry.Fault = Dropped, r.name
			}
		}
		frames = next
	}
	for _, f := range frames {
		to, due := original.From.other(), at.Add(w.delay+f.delay)
		if f.back {
			to, due = original.From, at.Add(f.delay)
		}
		if f.entry == nil {
			f.From, f.Sent = to.other(), original.Sent
			f.entry = w.record(f.Packet)
			f.entry.Fault = f.maker
			if !f.back && original.entry.Fate == Dropped {
				original.entry.Fate = Replaced
			}
		}
		w.push(transit{due: due, to: to, raw: f.raw, entry: f.entry})
	}
}

func (w *wire) push(t transit) {
	w.pushed++
	t.order = w.pushed
	heap.Push(&w.queue, t)
}

// record appends a packet to the log and returns its entry.
func (w *wire) record(p Packet) *Packet {
	p.Payload = slices.Clone(p.Payload[:min(len(p.Payload), max(w.keep, 0))])
	p.TFO.Cookie = slices.Clone(p.TFO.Cookie)
	if len(w.log) < w.max {
		w.log = append(w.log, &p)
	} else {
		w.lost++
	}
	return &p
}

// deliver hands over all frames that are due.
func (w *wire) deliver() {
	for len(w.queue) > 0 && time.Until(w.queue[0].due) <= 0 {
		t := heap.Pop(&w.queue).(transit)
		now := time.Since(w.start)
		err := unix.Send(w.ports[t.to-1], t.raw, 0)
		if t.entry == nil {
			continue
		}
		w.mu.Lock()
		if err != nil {
			t.entry.Fate = SendError
		} else {
			t.entry.Fate, t.entry.Delivered = Delivered, now
		}
		w.mu.Unlock()
	}
}

// snapshot returns a copy of the log and the number of packets that it had no room for.
func (w *wire) snapshot() (Packets, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ps := make(Packets, len(w.log))
	for i, p := range w.log {
		ps[i] = *p
	}
	return ps, w.lost
}

func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log, w.lost = nil, 0
}

func (w *wire) setDelay(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = d
}

func (w *wire) setFaults(faults []Fault) error {
	var rules []namedRule
	for _, f := range faults {
		r, err := f.rule()
		if err != nil {
			return err
		}
		rules = append(rules, namedRule{f.Name, r})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = rules
	return nil
}

// transit is a frame on its way.
type transit struct {
	due   time.Time
	order uint64 // frames that are due at the same time leave as they came
	to    Side
	raw   []byte
	entry *Packet // nil for what is not logged
}

// queue is a heap of frames, the first due on top.
type queue []transit

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(transit)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = transit{}
	*q = old[:len(old)-1]
	return last
}
