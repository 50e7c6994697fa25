package handshake

// link is the record layer that a Client, a Server and an Opener share: bytes
// in, handshake messages and application data out. It does no I/O.
type link struct {
	state State
	err   error // sticky: the connection is dead

	buf  []byte // what the transport gave: buf[r:w] is not consumed yet
	r, w int
	bulk bool        // the transport gives much at once, so that a large buffer saves reads
	pool *BufferPool // where buf comes from; nil: this link's own
	msgs []byte      // handshake bytes that are not consumed yet
	mr   int         // msgs[mr:] are to be read

	reader *protector // nil: plaintext
	writer *protector // nil: plaintext; after Split nil for ever
	out    []byte     // records that wait for AppendOutput
	used   budgets
	// messageLimit bounds a handshake message; 0 means maxMessageLen.
	messageLimit int
	// sendLimit bounds the content of a protected record; 0 means maxPlaintext.
	// receiveLimit is what a reader's limit will be.
	sendLimit, receiveLimit uint16

	allowCCS  bool // compatibility change_cipher_spec may come now (section D.4)
	sawRecord bool
	silent    bool       // after Split: the keys for alerts are the Sealer's
	skip      skipBudget // server: of early data that was refused
}

// Buffer returns free space for the transport to read into, at least enough
// for the rest of the record that is coming. Follow it with Advance. The slices
// that Next returned are invalid after it.
func (l *link) Buffer() []byte {
	const least = 1024
	need := least
	have := l.w - l.r
	if have >= recordHeaderLen {
		if n := recordHeaderLen + int(l.buf[l.r+3])<<8 + int(l.buf[l.r+4]) - have; n > need {
			need = min(n, recordHeaderLen+maxCiphertext)
		}
	}
	to := l.buf
	if have+need > len(to) || l.bulk && len(to) < bulkBuffer {
		to = l.grow(have + need)
	}
	if have == 0 || len(to) != len(l.buf) || len(to)-l.w < need {
		copy(to, l.buf[l.r:l.w])
		if l.pool != nil && len(to) != len(l.buf) {
			l.pool.put(l.buf)
		}
		l.buf, l.r, l.w = to, 0, have
	}
	return l.buf[l.w:]
}

// grow returns a larger buffer, of at least n bytes.
func (l *link) grow(n int) []byte {
	switch {
	case l.pool == nil:
		return make([]byte, max(n, 2*len(l.buf), smallBuffer))
	case l.bulk:
		n = max(n, bulkBuffer)
	}
	return l.pool.get(n)
}

// Advance says that the transport put n bytes into what Buffer returned.
func (l *link) Advance(n int) {
	l.w += n
	// A buffer that is full: the transport may have had more. A large one from
	// the pool is used on as long as a small one would not have done.
	l.bulk = l.w == len(l.buf) || l.pool != nil && n > smallBuffer
}

// Release gives the receive buffer back to the pool, if there is one and
// nothing in the buffer is waiting: an idle connection needs none. The slices that Next
// returned are invalid after it.
func (l *link) Release() {
	if l.pool != nil && l.r == l.w && len(l.buf) > 0 {
		l.pool.put(l.buf)
		l.buf, l.r, l.w = nil, 0, 0
	}
	if !l.partial() {
		l.msgs, l.mr = nil, 0
	}
}

// Feed is Buffer and Advance for bytes that are elsewhere: it copies p.
func (l *link) Feed(p []byte) {
	for len(p) > 0 {
		n := copy(l.Buffer(), p)
		l.Advance(n)
		p = p[n:]
	}
}

// AppendOutput moves what is ready to be sent to the end of dst.
func (l *link) AppendOutput(dst []byte) []byte {
	if dst == nil {
		dst, l.out = l.out, nil
		return dst
	}
	dst = append(dst, l.out...)
	l.out = l.out[:0]
	return dst
}

// record returns the next record with a content. ok is false when more bytes
// are needed. The data is valid until the next Buffer or Feed.
func (l *link) record() (typ recordType, data []byte, ok bool, fault Fault) {
	for {
		pending := l.buf[l.r:l.w]
		if len(pending) < recordHeaderLen {
			return 0, nil, false, 0
		}
		typ = recordType(pending[0])
		n := int(pending[3])<<8 | int(pending[4])
		if !l.sawRecord && (typ < recordCCS || typ > recordApplication || pending[1] != 3) {
			return 0, nil, false, FaultBadRecordVersion
		}
		limit := maxPlaintext
		if l.reader != nil || l.skip.on && typ == recordApplication {
			limit = maxCiphertext
		}
		if n > limit {
			return 0, nil, false, FaultRecordOverflow // sections 5.1 and 5.2
		}
		if len(pending) < recordHeaderLen+n {
			return 0, nil, false, 0
		}
		l.sawRecord = true
		l.r += recordHeaderLen + n
		header, body := pending[:recordHeaderLen], pending[recordHeaderLen:recordHeaderLen+n]

		if typ == recordCCS {
			if fault = l.receiveCCS(body); fault != 0 {
				return 0, nil, false, fault
			}
			continue
		}
		if l.skip.on && typ == recordApplication && l.reader == nil {
			// After HelloRetryRequest: all protected records up to the second
			// ClientHello are early data (section 4.2.10).
			if l.partial() {
				return 0, nil, false, FaultUnexpectedRecord // section 5.1
			}
			if !l.skip.spend(n) {
				return 0, nil, false, FaultTooMuchEarlyData
			}
			continue
		}
		if l.reader != nil {
			outer := typ
			typ, data, fault = l.reader.open(header, body)
			switch {
			case fault == FaultBadRecordMAC && outer != recordApplication:
				return 0, nil, false, FaultPlaintextRecord
			case fault == FaultBadRecordMAC && l.skip.on:
				// Early data under a key that we do not have (section 4.2.10).
				if !l.skip.spend(n) {
					return 0, nil, false, FaultTooMuchEarlyData
				}
				continue
			case fault != 0:
				return 0, nil, false, fault
			case outer != recordApplication:
				return 0, nil, false, FaultUnexpectedRecord // section 5.2: opaque_type is 23
			}
			l.skip.on = false
		} else if data = body; typ == recordApplication {
			return 0, nil, false, FaultUnexpectedRecord // not even an empty one
		}
		if typ != recordHandshake && l.partial() {
			return 0, nil, false, FaultUnexpectedRecord // section 5.1: nothing else inside a handshake message
		}
		if len(data) == 0 {
			if typ != recordApplication {
				return 0, nil, false, FaultEmptyFragment // section 5.1
			}
			if !spend(&l.used.emptyRecords, maxEmptyRecords) {
				return 0, nil, false, FaultTooManyEmptyRecords
			}
			continue
		}
		l.used.emptyRecords = 0
		if typ != recordAlert {
			l.used.warnings = 0
		}
		return typ, data, true, 0
	}
}

// receiveCCS handles an unprotected change_cipher_spec (sections 5 and
// D.4): dropped during the handshake, a fault elsewhere.
func (l *link) receiveCCS(body []byte) Fault {
	if !l.allowCCS || len(body) != 1 || body[0] != 1 || len(l.msgs) > l.mr {
		return FaultBadCCS
	}
	if !spend(&l.used.ccs, maxCCS) {
		return FaultTooManyCCS
	}
	return 0
}

// limit is how long a handshake message may be, without its header.
func (l *link) limit() int {
	if l.messageLimit > 0 {
		return l.messageLimit
	}
	return maxMessageLen
}

// message returns the next whole handshake message, header included, as far as
// it is there already; what record gave goes in through addHandshake. The
// message is valid until the next addHandshake.
func (l *link) message() (msg []byte, ok bool, fault Fault) {
	pending := l.msgs[l.mr:]
	if len(pending) < messageHeaderLen {
		return nil, false, 0
	}
	n := messageHeaderLen + (int(pending[1])<<16 | int(pending[2])<<8 | int(pending[3]))
	if n-messageHeaderLen > l.limit() {
		return nil, false, FaultMessageTooLarge
	}
	if len(pending) < n {
		return nil, false, 0
	}
	l.mr += n
	return pending[:n:n], true, 0
}

// addHandshake adds the content of a handshake record. What was consumed goes
// first: a peer whose records all end inside a message makes us hold one message
// and one record, not all of them.
func (l *link) addHandshake(data []byte) {
	if l.mr > 0 {
		l.msgs, l.mr = l.msgs[:copy(l.msgs, l.msgs[l.mr:])], 0
	}
	l.msgs = append(l.msgs, data...)
}

// partial tells that handshake bytes are left over. No key may change while
// it is true (section 5.1).
func (l *link) partial() bool { return len(l.msgs) > l.mr }

// setReader changes the key for what the peer sends.
func (l *link) setReader(p *protector) Fault {
	if l.partial() {
		return FaultPartialMessage
	}
	l.reader.clear()
	l.reader = p
	if p != nil {
		p.limit = l.receiveLimit
	}
	return 0
}

// setWriter changes the key for what this side sends.
func (l *link) setWriter(p *protector) {
	l.writer.clear()
	l.writer = p
}

// send queues a record, or several where data is long, under the current key.
func (l *link) send(typ recordType, data []byte) {
	if l.writer == nil {
		l.out = appendPlaintext(l.out, typ, versionTLS12, data)
		return
	}
	for {
		n := min(len(data), maxContent(l.sendLimit))
		l.out = l.writer.seal(l.out, typ, data[:n], 0)
		if data = data[n:]; len(data) == 0 {
			return
		}
	}
}
