package tlstfo

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// Dial connects to addr and completes a TLS handshake, as tls.Dial does. The
// ClientHello rides in the SYN where the path allows. Nothing else is early: no
// byte that is written to the Conn is ever sent before the handshake is
// complete.
//
// Sessions are kept by Dialers, so that a program that dials a server more
// than once wants a Dialer. So are locks: a config's KeyLogWriter must be safe for concurrent use
// if connections of several calls may use it at once.
func Dial(network, addr string, config *tls.Config) (*Conn, error) {
	d := &Dialer{TLSConfig: config}
	c, err := d.dial(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	c.sessions = nil // nobody would find a ticket: Close need not wait for any
	return c, nil
}

// Dialer dials TLS connections. The zero value works. It must not be copied or
// changed after first use, and is safe for concurrent use.
type Dialer struct {
	// TLSConfig is used as tls.Dialer.Config is: nil means the zero config. It
	// is cloned and never changed. The package documentation says what becomes
	// of each of its fields. A KeyLogWriter that several Dialers share must be safe for
	// concurrent use, unless WithTLSConfig made them of one another.
	TLSConfig *tls.Config

	// NetDialer is used as tls.Dialer.NetDialer is: its Timeout, Deadline,
	// LocalAddr, Resolver, KeepAlive, Control and so on are honoured. nil means
	// the zero net.Dialer.
	NetDialer *net.Dialer

	// Sessions keeps the tickets that servers give. nil means an in-memory
	// cache of this Dialer's own. A cache may be shared by Dialers.
	Sessions SessionCache

	// Partition names a part of Sessions. Dialers with different partitions
	// never see each other's sessions. Sessions that were made with
	// GetClientCertificate stay within their Dialer, and those with
	// InsecureSkipVerify or VerifyPeerCertificate as well, unless a partition is
	// named: what these sent or checked cannot be told from a session.
	Partition string

	// Early is for DialDeferred and Client: it gets what was written first and
	// returns how many of its bytes are *replayable*, from the start. Only those may ride as
	// early data (RFC 8446, section 8: an attacker can make the server
	// process them more than once). nil means none. See ReplayableHTTP1.
	// It may be called for several connections at once. Conn.Close waits for it,
	// so it must not call that.
	Early func(first []byte) int

	// EarlyData is asked before any early data leaves. nil allows what the
	// caller asked for by DialEarly or Early.
	EarlyData EarlyDataPolicy

	// FailOnReject makes a connection fail with ErrEarlyDataRejected, or
	// ErrEarlyDataUncertain, when its early data was not accepted. The default is to send
	// the bytes again under traffic keys, first and in order.
	FailOnReject bool

	// StrictIdentity allows sending rejected early data again only to a
	// server with the very certificate that the session was made with. The
	// default allows any that verifies for the same name and roots.
	StrictIdentity bool

	// NoFastOpen switches TCP Fast Open off.
	NoFastOpen bool

	// FastOpen remembers where TCP Fast Open did harm, so that dials set out
	// without it there for a while. nil means a memory of this Dialer's own. One
	// memory may serve many Dialers.
	FastOpen *tfo.Memory

	// Timeout bounds what runs on after the dialling call has returned: the
	// dial of DialDeferred, the handshake of DialEarly, the delivery in Close.
	// 0, or less, means NetDialer.Timeout, and 30 seconds where that is 0 too. (Dial
	// and DialContext are bound by their context and NetDialer alone.)
	Timeout time.Duration

	// Cork is how long DialDeferred with Early waits, from the first Write, for
	// more to gather in the first flight. 0 means 1 ms; a negative Cork means
	// no wait. A Read does not wait longer than ReadGrace for that. HTTP/2 clients write their preface a moment before the request.
	Cork time.Duration

	// ReadGrace is how long a Read that comes before any Write of a
	// DialDeferred waits for that Write before the hello goes alone, so
	// that protocols in which the server speaks first work. 0 means 20 ms; a
	// negative ReadGrace means no wait.
	ReadGrace time.Duration

	// HybridRefresh is the age of a session's last post-quantum key exchange
	// from which a resumption sends the hybrid share again, even where it does not
	// fit the SYN. 0 means 24 hours; a negative HybridRefresh means always.
	HybridRefresh time.Duration

	// Hello builds ClientHellos; nil means the compact hello. Package
	// handshake/utlshello has those of browsers. A Builder with a method
	// SessionScope() string shares sessions only with those that return the same.
	// crypto/tls, whose ClientHello is another, is then asked for nothing but to
	// dial a server again that says that it is older than TLS 1.3: a dial that would
	// go there for any other reason fails.
	Hello handshake.Builder

	// Trace has hooks that are called while connections are made. nil: none, but
	// for those of the context (see WithTrace).
	Trace *Trace

	origin       *Dialer // see first
	once         sync.Once
	config       *tls.Config   // TLSConfig as it was at first use
	std          string        // why every connection goes to crypto/tls, or ""
	groups       []tls.CurveID // for the engine
	own          SessionCache  // where Sessions is nil or must not be used
	ownFastOpen  tfo.Memory    // where FastOpen is nil
	hosts        hosts
	verifier     verifier
	certificates handshake.CertificateCache
	clock        clock
	lingers      lingers
	keyLog       sync.Mutex
	buffers      sync.Pool // *[]byte for outgoing records
	received     handshake.BufferPool

	seen seen
}

// init settles what the first use needs.
func (d *Dialer) init() {
	d.once.Do(func() {
		d.config = d.TLSConfig.Clone()
		if d.config == nil {
			d.config = &tls.Config{}
		}
		d.config = d.lockKeyLog(d.config)
		d.std, d.groups = whyStd(d.config), groups(d.config)
		d.own = NewSessionCache(0)
	})
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

// DialContext connects to addr and completes a TLS handshake. The ClientHello
// rides in the SYN where the path allows; no byte that is written to the connection is
// ever early. The context binds until it returns, its values reach the
// NetDialer's hooks. The net.Conn is a *Conn. Errors are of type *Error.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err // not c: a nil *Conn in a net.Conn is not nil
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, network, addr string) (*Conn, error) {
	c, err := d.newConn(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.bind(ctx)
	defer cancel()
	c.begin(nil, 0)
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// DialEarly connects to addr and sends early as TLS 1.3 early data, in the SYN where
// the path allows, so that the answer can be here after one round trip. The caller vouches that early is
// *replayable*: an attacker can make the server process it several times (RFC
// 8446, section 8), and so can the network where it rides in a SYN (RFC 7413,
// section 2.1). An HTTP GET is; a POST is not.
//
// It returns once the connection is up and the bytes are handed over. Without
// a usable ticket, or where the policy or the server says no, they go first
// under traffic keys, as does what is over 64 KiB or over the ticket's limit. What
// becomes of them is in Conn.Info, and final once Conn.HandshakeDone is closed. The context binds until it returns, afterwards
// Timeout does. early is not retained.
func (d *Dialer) DialEarly(ctx context.Context, network, addr string, early []byte) (*Conn, error) {
	c, err := d.DialDeferred(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c.dialEarly(ctx, early)
}

// dialEarly sets out with bytes that are *replayable*, and returns once the
// connection is up and they are handed over.
func (c *Conn) dialEarly(ctx context.Context, early []byte) (*Conn, error) {
	c.begin(early, min(len(early), maxUnread))
	up := make(chan struct{})
	c.up = up
	c.goRun()
	select {
	case <-up:
		return c, nil
	case <-c.done:
		select {
		case <-up: // and all that came after is told by the Conn, always
			return c, nil
		default:
		}
	case <-ctx.Done():
		c.abandon(context.Cause(ctx))
		<-c.done
	}
	if err := c.failure(); err != nil {
		return nil, err
	}
	return c, nil // it was complete before the context ended
}

// DialDeferred returns at once, for clients that take a custom dialer. The
// first Write dials. Without Dialer.Early only the hello is early, and Writes wait for the
// handshake. With it, what is written before the dial (see Cork), at most 16 KiB, is copied and does not wait,
// whatever Early returns; what Early calls *replayable* may be early. What is more, or
// is written later, waits for the handshake. A Read that comes before any Write gives it ReadGrace, then dials. Close
// without a Write sends nothing. Errors of the dial come from every later call
// on the Conn.
//
// Only the values of the context are kept: cancelling it after the return
// does nothing. Timeout and the Conn's deadlines bind the dial.
func (d *Dialer) DialDeferred(ctx context.Context, network, addr string) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "dial", Addr: addr, Err: context.Cause(ctx)}
	}
	return d.newConn(ctx, network, addr)
}

// Client is a TLS connection over a conn that the caller made: a proxy tunnel,
// a pipe. The handshake begins with the first Write, Read or Handshake, with the
// rules of DialDeferred, Dialer.Early included: what it calls *replayable* may be early. Nothing is dialled, so what
// would need another dial fails: a server without TLS 1.3 (ErrNotTLS13), one
// that breaks on early data.
//
// sessionKey says whose sessions may be offered and where new ones are kept;
// with "" none are. It must name the server: two keys for one server are
// fine, one key for two servers is not. TLSConfig.ServerName must be set, or InsecureSkipVerify.
func (d *Dialer) Client(conn net.Conn, sessionKey string) *Conn {
	d.init()
	addr := sessionKey
	config, err := clientConfig(d.config, "", "")
	if conn == nil {
		err = errors.New("the net.Conn is nil")
	} else if remote := conn.RemoteAddr(); addr == "" && remote != nil {
		addr = remote.String()
	}
	c := d.blank(context.Background(), "tcp", addr)
	c.given, c.raw = conn, conn
	if err != nil {
		c.config = &tls.Config{}
		c.begin(nil, 0)
		c.settle(&Error{Op: "handshake", Addr: addr, Err: err})
		return c
	}
	c.config = config
	c.keepSessions(placeOf("client", addr))
	if sessionKey == "" {
		c.sessions = nil
	}
	return c
}

// newConn prepares a Conn that has not dialled.
func (d *Dialer) newConn(ctx context.Context, network, addr string) (*Conn, error) {
	d.init()
	config, err := clientConfig(d.config, network, addr)
	if err != nil {
		return nil, &Error{Op: "dial", Addr: addr, Err: err}
	}
	c := d.blank(context.WithoutCancel(ctx), network, addr)
	c.config = config
	c.keepSessions(placeOf(network, addr))
	return c, nil
}

func (d *Dialer) blank(ctx context.Context, network, addr string) *Conn {
	return &Conn{dialer: d, dialCtx: ctx, network: network, addr: addr, lingerSec: -1, trace: newTracer(ctx, addr, d.Trace),
		done: make(chan struct{}), closing: make(chan struct{})}
}

// keepSessions sets where the sessions of a place are.
func (c *Conn) keepSessions(place string) {
	d := c.dialer
	c.hostKey = sessionKey("", place, c.config)
	if c.config.SessionTicketsDisabled {
		return
	}
	if c.sessionKey = c.hostKey; d.Partition != "" {
		c.sessionKey = sessionKey(d.Partition, place, c.config)
	}
	if scope := helloScope(d.Hello); scope != "" {
		c.sessionKey += "\x00hello " + scope // what comes before tells its own length
	}
	c.sessions = d.Sessions
	if c.sessions == nil || privateSessions(c.config, d.Partition) {
		c.sessions = d.own
	}
}

// Flush waits until no closed connection of this Dialer waits for tickets any
// more (see Conn.Close), so that the next dial finds them. It returns the
// context's error if that ends first.
func (d *Dialer) Flush(ctx context.Context) error { return d.first().lingers.wait(ctx) }

// Close ends the waiting that Flush waits for. It does not touch connections
// that are open. The Dialer can still be used.
func (d *Dialer) Close() error { d.first().lingers.end(); return nil }
