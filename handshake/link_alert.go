package handshake

// alert handles an alert record. closed is true for close_notify.
func (l *link) alert(data []byte) (closed bool, err error) {
	if len(data) != 2 {
		return false, l.fail(FaultBadAlert, nil, "")
	}
	a := Alert(data[1])
	switch {
	case data[0] != alertWarning && data[0] != alertFatal:
		return false, l.fail(FaultAlertLevel, nil, "")
	case a == AlertCloseNotify:
		return true, nil // whatever its level (section 6)
	case data[0] == alertFatal:
		return false, l.remote(a)
	case a != AlertUserCanceled:
		// Section 6: an error alert is one whatever its level. That it has the
		// wrong one is an error of its own; BoGo wants decode_error for it.
		return false, l.fail(FaultBadAlert, nil, a.String())
	case !spend(&l.used.warnings, maxWarnings):
		return false, l.fail(FaultTooManyWarnings, nil, "")
	}
	return false, nil
}

// fail makes the connection dead: the one place that turns a fault into an
// error and queues the alert for it. Later calls keep the first error.
func (l *link) fail(f Fault, cause error, info string) error {
	if l.err == nil {
		local := &LocalError{Fault: f, State: l.state, Err: cause, Info: info}
		if !l.silent {
			l.sendAlert(local.Alert())
		}
		l.end(local)
	}
	return l.err
}

// sendAlert queues the alert that ends the connection: a fatal one, or
// user_canceled, which is a warning and followed by close_notify (section 6.1).
func (l *link) sendAlert(a Alert) {
	if a == AlertUserCanceled {
		l.send(recordAlert, []byte{alertWarning, byte(a)})
		a = AlertCloseNotify
	}
	l.send(recordAlert, []byte{a.level(), byte(a)})
}

// remote makes the connection dead after an alert of the peer: an error, or
// close_notify where it cannot stand.
func (l *link) remote(a Alert) error {
	return l.end(&RemoteError{Alert: a, State: l.state, Authenticated: l.reader != nil})
}

// end makes the connection dead and forgets its keys (section 6: "Servers and
// clients MUST forget the secret values and keys established in failed
// connections").
func (l *link) end(err error) error {
	l.err, l.state = err, StateFailed
	l.reader.clear()
	l.writer.clear()
	return err
}
