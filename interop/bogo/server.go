package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// What BoringSSL's server has fixed, and the runner expects.
const (
	maxEarlyData    = 14336
	freshnessWindow = 60 * time.Second
)

// serverShared is what the connections of a server have in common.
type serverShared struct {
	tickets *handshake.TicketKeys
	replays *handshake.ReplayRegister
}

func newServerShared(now time.Time) (s serverShared, err error) {
	s.tickets, s.replays = new(handshake.TicketKeys), handshake.NewReplayRegister(now.Add(-time.Second), 100) // the keys are new
	return s, s.tickets.Rotate(rand.Reader, 0)
}

// startServer makes the engine of a server.
func (c *connection) startServer() error {
	o := c.options()
	cfg := &handshake.ServerConfig{
		GetCertificate:      c.serverCertificate,
		NextProtos:          o.selectable(),
		Groups:              curveIDs(o.Curves),
		GroupPolicy:         choose(o.ServerPreference, handshake.GroupServerOrder, handshake.GroupClientOrder),
		SignatureAlgorithms: o.signatureAlgorithms(),
		VerifyConnection:    c.verify,
		KeyLogWriter:        &c.secrets,
		TicketKeys:          c.shared.tickets,
		FreshnessWindow:     freshnessWindow,

		CertificateCompressors: o.compressors(),
	}
	switch {
	case o.NoTicket:
		cfg.TicketKeys = nil
	case len(o.TicketKey) > 0:
		var err error
		if c.tickets, err = newTicketKey(o.TicketKey); err != nil {
			return err
		}
		cfg.TicketKeys, cfg.WrapSession, cfg.UnwrapSession = nil, c.tickets.wrap, c.tickets.unwrap
	}
	if o.EnableEarlyData {
		cfg.MaxEarlyData, cfg.AntiReplay = maxEarlyData, c.shared.replays
	}
	if err := c.setClientAuth(cfg); err != nil {
		return err
	}
	server, err := handshake.NewServer(cfg)
	c.engine, c.server = server, server
	c.writes = o.initialWrites()
	return err
}

// selectable returns the protocols that a server takes. The flags play a
// callback that decides without looking at what the client offers.
func (o *options) selectable() []string {
	switch {
	case o.RejectALPN:
		return []string{"a protocol that no client offers"}
	case o.DeclineALPN || o.SelectALPN == "":
		return nil
	}
	return []string{o.SelectALPN}
}

// setClientAuth says whether the client is asked for a certificate, and how it
// is verified: by the engine against -trust-cert, unless the authorities that
// the client is told are others.
func (c *connection) setClientAuth(cfg *handshake.ServerConfig) error {
	o := c.options()
	verified := c.shared.roots != nil && o.ClientCAList == ""
	switch {
	case o.VerifyPeer:
		cfg.ClientAuth = choose(verified, tls.VerifyClientCertIfGiven, tls.RequestClientCert)
	case o.RequireAnyClientCert:
		cfg.ClientAuth = choose(verified, tls.RequireAndVerifyClientCert, tls.RequireAnyClientCert)
	}
	if o.ClientCAList == "" {
		cfg.ClientCAs = c.shared.roots
		return nil
	}
	if o.ClientCAList == "<EMPTY>" {
		return nil
	}
	cfg.ClientCAs = x509.NewCertPool()
	for _, name := range strings.Split(o.ClientCAList, ",") {
		der, err := hex.DecodeString(name)
		if err != nil {
			return err
		}
		cfg.ClientCAs.AddCert(&x509.Certificate{Raw: der, RawSubject: der})
	}
	return nil
}

// serverCertificate is the engine's hook for a ClientHello.
func (c *connection) serverCertificate(hello *handshake.ClientHelloInfo) (*tls.Certificate, error) {
	o := c.options()
	c.sawHello = true
	if prefs := schemes(o.ExpectPeerVerifyPrefs); prefs != nil && !slices.Equal(prefs, hello.SignatureSchemes) {
		return nil, wrong("the client's signature algorithms are %v", hello.SignatureSchemes)
	}
	if want := splitProtocols(o.ExpectAdvertisedALPN); want != nil && !slices.Equal(want, hello.SupportedProtos) {
		return nil, wrong("the client's application protocols are %q", hello.SupportedProtos)
	}
	return c.selectCredential(hello.SignatureSchemes, hello.AcceptableCAs)
}

// checkServer checks what only a server has.
func (c *connection) checkServer(state *tls.ConnectionState) error {
	o := c.options()
	if !state.DidResume && !c.sawHello {
		return wrong("the hook for certificates was not called")
	}
	if c.tickets != nil && c.tickets.opened != c.resuming {
		return wrong("a ticket was opened: %v", c.tickets.opened)
	}
	if o.ExpectServerName != "" && state.ServerName != o.ExpectServerName {
		return wrong("server name %q, expected %q", state.ServerName, o.ExpectServerName)
	}
	if o.RequireAnyClientCert && !o.VerifyPeer && len(state.PeerCertificates) == 0 {
		return wrong("no certificate of the client")
	}
	skew := time.Duration(o.ExpectTicketAgeSkew) * time.Second
	if got := c.server.TicketAgeSkew(); c.resuming && skew != 0 && got != skew {
		return wrong("ticket age skew %v, expected %v", got, skew)
	}
	return nil
}

// halfRTT begins what follows on the handshake while the client still sends
// early data.
func (c *connection) halfRTT() error {
	if c.server == nil || c.server.EarlyData() != handshake.EarlyAccepted {
		return nil
	}
	return c.begin()
}
