package handshake

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"hash"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Client is the client's side of one TLS 1.3 handshake (RFC 8446), without
// I/O: the transport's bytes go in through Buffer and Advance, or Feed, events
// come out of Next, and AppendOutput takes what is to be sent. It is for one
// goroutine at a time.
type Client struct {
	link
	cfg   *Config
	suite *suite     // that the server chose
	built *Hello     // what the Builder made
	base  helloView  // its message, which hellos are edits of
	keys  []ShareKey // behind the shares of the last hello
	hello helloView  // the last hello that was sent
	event Event      // not given out yet
	cause error      // behind the fault that a handler returned

	// transcript has all messages so far: from the first hello on where a PSK
	// is offered, else from ServerHello on, which names the hash.
	transcript hash.Hash
	sum        [64]byte // room for its sum

	// The key schedule. Only the stage that the handshake is in is there.
	early           *earlySecret // of the PSK that is offered
	handshake       *handshakeSecret
	clientHandshake []byte // traffic secret that waits for the end of early data
	exporter        []byte
	resumption      *resumption

	offered   bool      // Config.Session is in the last hello
	began     time.Time // of the first Next, which follows the first hello
	retried   bool      // HelloRetryRequest came
	sentCCS   bool      // the compatibility change_cipher_spec is out
	status    EarlyStatus
	reason    EarlyReason
	earlyLeft uint32 // plaintext bytes that early data may still have
	helloLen  int

	request   *certificateRequest  // the server asked for a certificate
	settings  *applicationSettings // of the application protocol, or nil
	ownLimit  uint16               // of our record_size_limit; 0: none
	delegated crypto.PublicKey     // of a delegated credential, or nil
	info      connectionInfo

	delegatedScheme tls.SignatureScheme // the one that goes with it
}

// connectionInfo is what is known of the connection so far.
type connectionInfo struct {
	resumed   bool
	complete  bool
	suite     uint16
	group     tls.CurveID
	alpn      string
	algorithm tls.SignatureScheme

	peer   []*x509.Certificate
	chains [][]*x509.Certificate
	ocsp   []byte
	scts   [][]byte

	// authenticatedAt is when the server proved itself by its certificate, and
	// clientSum is ChainSum of the chain that we sent.
	// credentialExpiry is when the credential with which it did expires, if there is one.
	authenticatedAt  time.Time
	credentialExpiry time.Time
	clientSum        []byte
}

// NewClient starts a handshake: the ClientHello is ready to be sent when it
// returns. cfg must not change from then on. An error means that cfg cannot be
// used, or that the random source failed.
func NewClient(cfg *Config) (*Client, error) {
	if cfg == nil || cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		return nil, errors.New("tls: either ServerName or InsecureSkipVerify must be specified")
	}
	if cfg.Session != nil && !cfg.Session.usable() {
		return nil, errBadSession
	}
	if cfg.RequirePSK && cfg.Session == nil {
		return nil, errors.New("tls: RequirePSK without a Session")
	}
	var builder Builder = CompactHello{}
	if cfg.Hello != nil {
		builder = cfg.Hello
	}
	hello, err := builder.BuildHello(cfg, cfg.random())
	if err != nil {
		return nil, err
	}
	if hello == nil {
		return nil, errors.New("tls: the Builder made no ClientHello")
	}
	view, ok := viewHello(hello.Raw)
	if !ok {
		return nil, errors.New("tls: the Builder made a malformed ClientHello")
	}
	if !view.offersTLS13() {
		return nil, errors.New("tls: the Builder made a ClientHello that does not offer TLS 1.3")
	}
	c := &Client{cfg: cfg, built: hello, base: view, keys: hello.Keys, hello: view}
	if cfg.Hello != nil {
		if err := c.checkOffer(); err != nil {
			return nil, err
		}
	}
	c.state, c.allowCCS, c.messageLimit, c.pool = StateServerHello, true, cfg.MaxMessageLen, cfg.Buffers
	if err := c.firstHello(); err != nil {
		return nil, err
	}
	return c, nil
}

// Next returns the next event, or EventNone when more bytes are needed. now is
// the current time. After EventHandshakeComplete comes nothing but EventNone:
// call Split. An error is a *LocalError, whose alert is in the output already,
// or a *RemoteError, which close_notify in the midst of the handshake is too;
// every later call returns it again.
func (c *Client) Next(now time.Time) (Event, error) {
	if c.err != nil {
		return Event{}, c.err
	}
	if c.began.IsZero() {
		c.began = now
	}
	event, err := c.next(now)
	if err != nil {
		c.forget()
	}
	return event, err
}

func (c *Client) next(now time.Time) (Event, error) {
	for {
		if event := c.event; event.Kind != EventNone {
			c.event = Event{}
			return event, nil
		}
		if c.state == StateConnected {
			return Event{}, nil
		}
		msg, ok, fault := c.message()
		if ok {
			fault = c.handle(msg, now)
		}
		if fault != 0 {
			return Event{}, c.fail(fault, c.cause, "")
		}
		if ok {
			continue
		}
		typ, data, ok, fault := c.record()
		switch {
		case fault != 0:
			return Event{}, c.fail(fault, nil, "")
		case !ok:
			return Event{}, nil
		case typ == recordHandshake:
			c.addHandshake(data)
		case typ == recordAlert:
			closed, err := c.alert(data)
			if closed {
				err = c.remote(AlertCloseNotify)
			}
			if err != nil {
				return Event{}, err
			}
		default:
			return Event{}, c.fail(FaultUnexpectedRecord, nil, "")
		}
	}
}

// step is a message in a state.
type step struct {
	state State
	typ   messageType
}

// handle dispatches a message. Its default arm is the only source of
// FaultUnexpectedMessage, but for a CompressedCertificate that was not asked for.
func (c *Client) handle(msg []byte, now time.Time) Fault {
	body := cryptobyte.String(msg[messageHeaderLen:])
	switch (step{c.state, messageType(msg[0])}) {
	case step{StateServerHello, typeServerHello}, step{StateServerHelloRetried, typeServerHello}:
		return c.serverHello(msg, body, now)
	case step{StateEncryptedExtensions, typeEncryptedExtensions}:
		return c.encryptedExtensions(msg, body)
	case step{StateCertificateOrRequest, typeCertificateRequest}:
		return c.certificateRequest(msg, body)
	case step{StateCertificateOrRequest, typeCertificate}, step{StateCertificate, typeCertificate}:
		return c.certificate(msg, body, now)
	case step{StateCertificateOrRequest, typeCompressed}, step{StateCertificate, typeCompressed}:
		return c.compressedCertificate(msg, body, now)
	case step{StateCertificateVerify, typeCertificateVerify}:
		return c.certificateVerify(msg, body, now)
	case step{StateFinished, typeFinished}:
		return c.finished(msg, body, now)
	case step{StateFinished, typeCertificateRequest}:
		if c.info.resumed {
			return FaultCertificateRequestWithPSK // section 4.3.2
		}
		fallthrough
	default:
		return FaultUnexpectedMessage
	}
}

// because records the cause of a fault.
func (c *Client) because(f Fault, cause error) Fault {
	c.cause = cause
	return f
}

// transcriptSum is the hash of all messages so far. It is valid until the next
// call.
func (c *Client) transcriptSum() []byte { return c.transcript.Sum(c.sum[:0]) }

// Split ends the engine's work after EventHandshakeComplete: what is sent from
// now on goes through the Sealer, what comes through the Opener, which has the
// received bytes that are left. What AppendOutput still has must be sent first.
// It returns nil before the handshake is complete, and the second time.
func (c *Client) Split() (*Sealer, *Opener) {
	if c.state != StateConnected || c.err != nil {
		return nil, nil
	}
	tickets := c.resumption
	c.resumption = nil
	return c.split(tickets)
}

// forget clears what the secrets of a failed connection were made of (section
// 6).
func (c *Client) forget() {
	c.early.clear()
	c.handshake.clear()
	clear(c.clientHandshake)
	clear(c.exporter)
	c.early, c.handshake, c.clientHandshake, c.exporter, c.keys = nil, nil, nil, nil, nil
}
