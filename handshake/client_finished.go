package handshake

import (
	"crypto/hmac"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// finished handles the server's Finished (section 4.4.4), answers with our
// last flight and changes to the traffic keys.
func (c *Client) finished(msg []byte, body cryptobyte.String, now time.Time) Fault {
	if !hmac.Equal(c.suite.finished(c.reader.secret, c.transcriptSum()), body) {
		return FaultBadFinished
	}
	if c.info.resumed {
		// The caller knows by now what became of early data. A full handshake
		// asked when the certificate came.
		if fault := c.verifyConnection(); fault != 0 {
			return fault
		}
	}
	c.transcript.Write(msg)
	master := c.handshake.master()
	defer master.clear()
	sum := c.transcriptSum()
	client, server := master.clientTraffic(sum), master.serverTraffic(sum)
	c.exporter = master.exporter(sum)
	if fault := c.logSecret("CLIENT_TRAFFIC_SECRET_0", client); fault != 0 {
		return fault
	}
	if fault := c.logSecret("SERVER_TRAFFIC_SECRET_0", server); fault != 0 {
		return fault
	}
	reader, err := newProtector(c.suite, server)
	if err != nil {
		return c.because(FaultInternal, err)
	}
	if fault := c.setReader(reader); fault != 0 {
		return fault
	}
	if fault := c.lastFlight(); fault != 0 {
		return fault
	}
	writer, err := newProtector(c.suite, client)
	if err != nil {
		return c.because(FaultInternal, err)
	}
	c.setWriter(writer)
	c.resumption = c.newResumption(master.resumption(c.transcriptSum()), now)
	c.complete()
	return 0
}

// lastFlight sends EndOfEarlyData, if early data was accepted, and, in one
// record if they fit, the messages that answer a CertificateRequest and
// Finished (section 4.4).
func (c *Client) lastFlight() Fault {
	c.sendCCS()
	if c.status == EarlyAccepted {
		endOfEarlyData := []byte{byte(typeEndOfEarlyData), 0, 0, 0} // section 4.5
		c.send(recordHandshake, endOfEarlyData)
		c.transcript.Write(endOfEarlyData)
		if fault := c.writeHandshakeKey(); fault != 0 {
			return fault
		}
	}
	var flight []byte
	if c.settings != nil && c.status != EarlyAccepted {
		extensions, err := c.settings.clientExtensions()
		if err != nil {
			return c.because(FaultInternal, err)
		}
		c.transcript.Write(extensions)
		flight = extensions
	}
	if c.request != nil {
		certificate, fault := c.clientCertificate()
		if fault != 0 {
			return fault
		}
		flight = append(flight, certificate...)
	}
	finished := marshalFinished(c.suite.finished(c.writer.secret, c.transcriptSum()))
	c.transcript.Write(finished)
	c.send(recordHandshake, append(flight, finished...))
	return 0
}

// complete ends the handshake and lets go of what only it needed.
func (c *Client) complete() {
	c.state, c.info.complete, c.allowCCS = StateConnected, true, false
	c.event = Event{Kind: EventHandshakeComplete}
	c.handshake, c.transcript, c.request, c.keys = nil, nil, nil, nil
	c.built, c.base, c.hello = nil, helloView{}, helloView{}
	c.msgs, c.mr = nil, 0 // empty: setReader made sure
}
