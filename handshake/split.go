package handshake

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// errSplit answers calls on an engine that has been split.
var errSplit = errors.New("tls: the engine was split: use its Sealer and Opener")

// split moves the keys and the bytes that were received but not consumed into
// a Sealer and an Opener. Output that was queued before stays in the engine.
// tickets makes sessions of NewSessionTicket; nil refuses the message.
func (l *link) split(tickets *resumption) (*Sealer, *Opener) {
	updates := new(keyUpdates)
	s := &Sealer{writer: l.writer, updates: updates, limit: maxContent(l.sendLimit)}
	o := &Opener{link: *l, updates: updates, tickets: tickets}
	o.writer, o.out, o.silent, o.allowCCS, o.skip = nil, nil, true, false, skipBudget{}
	*l = link{state: l.state, err: errSplit, out: l.out, silent: true}
	return s, o
}

// keyUpdates is what a Sealer and an Opener tell each other.
type keyUpdates struct {
	owed  atomic.Bool // the peer waits for our KeyUpdate
	asked atomic.Bool // we wait for the peer's
}

// Sealer protects what this side sends after the handshake. Its methods
// append records to dst, which may be nil and must not overlap p, and return
// it. They are for one goroutine at a time, which may be another than the
// Opener's. After CloseNotify or a fatal Alert nothing more is appended.
type Sealer struct {
	writer  *protector
	updates *keyUpdates
	closed  bool
	limit   int // of a record's content: 16 KiB, or less if the peer wants that
}

// Seal appends p as application data, one record for each 16 KiB, or for less if the peer
// wants that (RFC 8449). KeyUpdates
// that are due go before: one that answers the peer's requests, however many
// they were, and one before a key protects more than it may (RFC 8446, sections
// 4.6.3 and 5.5).
func (s *Sealer) Seal(dst, p []byte) []byte {
	records := (len(p) + s.limit - 1) / s.limit
	dst = slices.Grow(dst, len(p)+records*recordOverhead)
	for len(p) > 0 {
		n := min(len(p), s.limit)
		dst = s.SealRecord(dst, p[:n], 0)
		p = p[n:]
	}
	return dst
}

// SealRecord appends p as one record of application data with pad bytes of
// padding (RFC 8446, section 5.4), or with fewer if the record is full. An
// empty p gives a record without content. A p above what a record takes gives more of them,
// of which the last is padded.
func (s *Sealer) SealRecord(dst, p []byte, pad int) []byte {
	if len(p) > s.limit {
		dst = s.Seal(dst, p[:len(p)-s.limit])
		p = p[len(p)-s.limit:]
	}
	if !s.closed && s.updates.owed.Load() {
		dst = s.KeyUpdate(dst, false)
	}
	return s.seal(dst, recordApplication, p, min(max(pad, 0), s.limit-len(p)))
}

// KeyUpdate appends a KeyUpdate and goes on to the next key; request asks the
// peer to do the same (RFC 8446, section 4.6.3), unless it was asked already and
// has not done it yet (RFC 9846, section 4.7.3).
func (s *Sealer) KeyUpdate(dst []byte, request bool) []byte {
	if s.closed {
		return dst
	}
	body := byte(0)
	if request && !s.updates.asked.Swap(true) {
		body = 1
	}
	if !request {
		// Cleared before the key changes: a request that comes in meanwhile is
		// for the next one.
		s.updates.owed.Store(false)
	}
	dst = s.writer.seal(dst, recordHandshake, []byte{byte(typeKeyUpdate), 0, 0, 1, body}, 0)
	if err := s.writer.update(); err != nil {
		s.close() // impossible with the suites that there are; without a key nothing may follow
	}
	return dst
}

// CloseNotify appends the alert that ends this direction (RFC 8446, section
// 6.1). The peer may still send.
func (s *Sealer) CloseNotify(dst []byte) []byte { return s.Alert(dst, AlertCloseNotify) }

// Alert appends an alert: a warning if it is close_notify or user_canceled,
// fatal if it is any other (RFC 8446, section 6). After an error of the Opener
// it is called with the alert of the LocalError.
func (s *Sealer) Alert(dst []byte, a Alert) []byte {
	dst = s.seal(dst, recordAlert, []byte{a.level(), byte(a)}, 0)
	if a != AlertUserCanceled {
		s.close()
	}
	return dst
}

// seal appends one record, after a KeyUpdate if the key is used up.
func (s *Sealer) seal(dst []byte, typ recordType, data []byte, pad int) []byte {
	if !s.closed && s.writer.exhausted() {
		dst = s.KeyUpdate(dst, false) // section 5.5
	}
	if s.closed {
		return dst
	}
	return s.writer.seal(dst, typ, data, pad)
}

func (s *Sealer) close() {
	s.closed = true
	s.writer.clear()
}

// Opener opens what the peer sends after the handshake. It takes bytes as the
// engine did: Buffer and Advance, or Feed, then Next until it returns
// EventNone. It is for one goroutine at a time, which may be another than the
// Sealer's.
type Opener struct {
	link
	updates *keyUpdates
	tickets *resumption // nil: a server's
}

// Next returns the next event: EventData, whose Data aliases the buffer and is
// valid until the next Buffer or Feed; EventTicket, with a session received at
// now; EventCloseNotify, then and ever after, whatever else arrives; or
// EventNone, when more bytes are needed. An error is a *LocalError, whose
// alert the caller sends through the Sealer, or a *RemoteError, and is
// returned by every later call.
func (o *Opener) Next(now time.Time) (Event, error) {
	if o.err != nil {
		return Event{}, o.err
	}
	event, err := o.next(now)
	if err != nil || event.Kind == EventCloseNotify {
		o.forget()
	}
	return event, err
}

// forget clears the secrets: nothing is opened any more (section 6).
func (o *Opener) forget() {
	o.reader.clear()
	if o.tickets != nil {
		clear(o.tickets.template.Secret)
		o.tickets = nil
	}
}

func (o *Opener) next(now time.Time) (Event, error) {
	for o.state != StateClosed {
		msg, ok, fault := o.message()
		if fault != 0 {
			return Event{}, o.fail(fault, nil, "")
		}
		if ok {
			if event, err := o.postHandshake(msg, now); err != nil || event.Kind != EventNone {
				return event, err
			}
			continue
		}
		typ, data, ok, fault := o.record()
		if fault != 0 {
			return Event{}, o.fail(fault, nil, "")
		}
		if !ok {
			return Event{}, nil
		}
		switch typ {
		case recordApplication:
			o.used.keyUpdates, o.used.tickets = 0, 0
			return Event{Kind: EventData, Data: data}, nil
		case recordHandshake:
			o.addHandshake(data)
		case recordAlert:
			closed, err := o.alert(data)
			if err != nil {
				return Event{}, err
			}
			if closed {
				o.state = StateClosed
			}
		default:
			return Event{}, o.fail(FaultUnexpectedRecord, nil, "")
		}
	}
	o.r = o.w // section 6.1: data after a closure alert is ignored
	return Event{Kind: EventCloseNotify}, nil
}

// postHandshake handles a message after the handshake (section 4.6).
func (o *Opener) postHandshake(msg []byte, now time.Time) (Event, error) {
	body := msg[messageHeaderLen:]
	switch typ := messageType(msg[0]); {
	case typ == typeKeyUpdate:
		if fault := o.keyUpdate(body); fault != 0 {
			return Event{}, o.fail(fault, nil, "")
		}
		return Event{}, nil
	case typ == typeNewSessionTicket && o.tickets != nil:
		if !spend(&o.used.tickets, maxTickets) {
			return Event{}, o.fail(FaultTooManyTickets, nil, "")
		}
		session, fault := o.tickets.session(body, now)
		if fault != 0 {
			return Event{}, o.fail(fault, nil, "")
		}
		if session == nil {
			return Event{}, nil // a ticket that is not to be kept
		}
		return Event{Kind: EventTicket, Session: session}, nil
	}
	return Event{}, o.fail(FaultUnexpectedMessage, nil, "")
}

// keyUpdate goes on to the peer's next key (section 4.6.3).
func (o *Opener) keyUpdate(body []byte) Fault {
	switch {
	case len(body) != 1:
		return FaultDecode
	case body[0] > 1:
		return FaultBadKeyUpdate
	case o.partial():
		return FaultPartialMessage // section 5.1
	case !spend(&o.used.keyUpdates, maxKeyUpdates):
		return FaultTooManyKeyUpdates
	}
	if o.reader.update() != nil {
		return FaultInternal
	}
	o.updates.asked.Store(false)
	if body[0] == 1 {
		o.updates.owed.Store(true)
	}
	return 0
}
