package main

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/tlstfo/tlstfo/handshake"
)

// startClient makes the engine of a client and sends its ClientHello.
func (c *connection) startClient() error {
	o := c.options()
	cfg := &handshake.Config{
		ServerName:           o.HostName,
		NextProtos:           splitProtocols(o.AdvertiseALPN),
		Groups:               curveIDs(o.Curves),
		KeyShares:            o.keyShares(),
		SignatureAlgorithms:  o.signatureAlgorithms(),
		RootCAs:              c.shared.roots,
		InsecureSkipVerify:   c.shared.roots == nil,
		VerifyConnection:     c.verify,
		GetClientCertificate: c.clientCertificate,
		KeyLogWriter:         &c.secrets,
		EarlyData:            o.EnableEarlyData,
		MaxMessageLen:        o.MaxCertList,
		Hello:                hello{o},
	}
	if cfg.ServerName == "" {
		cfg.ServerName = defaultName
	}
	if o.PermuteExtensions {
		cfg.InsecureSkipVerify = true // the host that the one test names is not the certificate's; BoringSSL verifies no names
	}
	if s := c.offered; s != nil && c.now.Sub(s.ReceivedAt) <= s.Lifetime {
		cfg.Session, cfg.TicketAge = s, c.now.Sub(s.ReceivedAt)
	}
	client, err := handshake.NewClient(cfg)
	if err != nil {
		return err
	}
	c.engine, c.client = client, client
	c.writes = o.initialWrites()
	return c.flush()
}

// defaultName is what the runner's certificates are for where a test does not
// ask for a name.
const defaultName = "test"

// splitProtocols splits a list of protocols as it is on the wire.
func splitProtocols(list string) (protos []string) {
	for list != "" {
		n := min(1+int(list[0]), len(list))
		protos = append(protos, list[1:n])
		list = list[n:]
	}
	return protos
}

// keyShares returns the groups to send a share for; nil leaves it to the
// engine. The first group that the server is known to support goes before an
// explicit list, and that before BoringSSL's rule: the first group, and the
// first one of the other kind, classical or post-quantum.
func (o *options) keyShares() []tls.CurveID {
	curves := curveIDs(o.Curves)
	for _, curve := range curves {
		for _, hint := range o.ServerSupportedGroupsHint {
			if tls.CurveID(hint) == curve {
				return []tls.CurveID{curve}
			}
		}
	}
	switch {
	case o.NoKeyShares:
		return []tls.CurveID{}
	case len(o.KeyShares) > 0:
		return curveIDs(o.KeyShares)
	case len(curves) == 0:
		return nil
	}
	shares := curves[:1:1]
	for _, curve := range curves[1:] {
		if postQuantum(curve) != postQuantum(curves[0]) {
			return append(shares, curve)
		}
	}
	return shares
}

func postQuantum(id tls.CurveID) bool {
	switch id {
	case tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521:
		return false
	}
	return true
}

func curveIDs(list []uint16) (ids []tls.CurveID) {
	for _, id := range list {
		ids = append(ids, tls.CurveID(id))
	}
	return ids
}

// signatureAlgorithms returns -verify-prefs, or what BoringSSL offers.
func (o *options) signatureAlgorithms() []tls.SignatureScheme {
	if len(o.VerifyPrefs) > 0 {
		// BoringSSL's own number for what TLS 1.0 signs with: never on the wire.
		const rsaMD5SHA1 = 0xff01
		return slices.DeleteFunc(schemes(o.VerifyPrefs), func(s tls.SignatureScheme) bool { return s == rsaMD5SHA1 })
	}
	return []tls.SignatureScheme{
		tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.PKCS1WithSHA256,
		tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA384, tls.PKCS1WithSHA384,
		tls.PSSWithSHA512, tls.PKCS1WithSHA512,
	}
}

func schemes(list []uint16) (schemes []tls.SignatureScheme) {
	for _, s := range list {
		schemes = append(schemes, tls.SignatureScheme(s))
	}
	return schemes
}

// early sends the early data of a client.
func (c *connection) early() error {
	o := c.options()
	if c.client == nil || c.engine.EarlyData() != handshake.EarlyOffered {
		return nil
	}
	if err := c.checkPredicted(); err != nil {
		return err
	}
	if o.ExportKeyingMaterial > 0 {
		if _, err := c.engine.ExportKeyingMaterial(o.ExportLabel, []byte(o.ExportContext), o.ExportKeyingMaterial); err != nil {
			return &hookError{token: "HANDSHAKE_NOT_COMPLETE", text: err.Error()}
		}
		return wrong("keying material was exported before the handshake")
	}
	if o.EarlyWriteAfterMessage != 0 {
		if err := c.stepTo(o.EarlyWriteAfterMessage); err != nil {
			return err
		}
	}
	if o.ReadWithUnfinishedWrite {
		if _, err := c.client.WriteEarly([]byte(o.ShimInitialWrite)); err != nil {
			return err
		}
		c.writes = 0
		return c.writeUnfinished(c.engine.AppendOutput(nil))
	}
	for c.writes > 0 {
		n, err := c.client.WriteEarly([]byte(o.ShimInitialWrite))
		if err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
		c.writes--
		if c.initial = []byte(o.ShimInitialWrite)[n:]; len(c.initial) > 0 {
			return nil // the rest waits for the handshake
		}
	}
	return nil
}

// stepTo goes on until the message was read.
func (c *connection) stepTo(message int) error {
	const serverHello, encryptedExtensions = 2, 8
	var after handshake.State
	switch message {
	case serverHello:
		after = handshake.StateEncryptedExtensions
	case encryptedExtensions:
		after = handshake.StateFinished
	default:
		return wrong("-early-write-after-message %d", message)
	}
	for c.client.State() != after {
		if _, err := c.tryStep(); err != nil {
			return err
		}
		if c.client.State() == handshake.StateConnected {
			return wrong("the handshake completed before the early write")
		}
	}
	return nil
}

// keyLog picks the traffic secrets out of a key log.
type keyLog struct{ client, server []byte }

// Write takes one line.
func (l *keyLog) Write(line []byte) (int, error) {
	fields := strings.Fields(string(bytes.TrimSpace(line)))
	if len(fields) != 3 {
		return 0, wrong("bad key log line %q", line)
	}
	secret, err := hex.DecodeString(fields[2])
	switch fields[0] {
	case "CLIENT_TRAFFIC_SECRET_0":
		l.client = secret
	case "SERVER_TRAFFIC_SECRET_0":
		l.server = secret
	}
	return len(line), err
}
