package tlstfo

import (
	"crypto/fips140"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
)

// clientConfig returns the config for a connection to addr, with ServerName
// filled in, in a copy, as tls.Dial does, where addr has a name. addr is "" for Client.
func clientConfig(config *tls.Config, network, addr string) (*tls.Config, error) {
	if config.ServerName == "" && overTCP(network) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	if config.ServerName == "" && !config.InsecureSkipVerify {
		return nil, errors.New("either ServerName or InsecureSkipVerify must be set in the tls.Config")
	}
	total := 0
	for _, proto := range config.NextProtos {
		total += 1 + len(proto)
		if len(proto) == 0 || len(proto) > 255 {
			return nil, errors.New("a protocol in tls.Config.NextProtos is empty or longer than 255 bytes")
		}
	}
	if total > 0xffff {
		return nil, errors.New("the protocols in tls.Config.NextProtos take more than 65535 bytes")
	}
	if lo, hi := config.MinVersion, config.MaxVersion; lo != 0 && hi != 0 && lo > hi {
		return nil, errors.New("tls.Config.MinVersion is above MaxVersion")
	}
	if config.MinVersion > tls.VersionTLS13 {
		return nil, errors.New("tls.Config.MinVersion is above TLS 1.3")
	}
	return config, nil
}

// whyStd says why connections with this config go to crypto/tls at once, in
// words for ConnInfo; "" means that the engine honours the config.
func whyStd(config *tls.Config) string {
	switch {
	case config.MaxVersion != 0 && config.MaxVersion < tls.VersionTLS13:
		return "tls.Config.MaxVersion is below TLS 1.3"
	case config.EncryptedClientHelloConfigList != nil:
		return "tls.Config.EncryptedClientHelloConfigList is set"
	case config.Rand != nil:
		return "tls.Config.Rand is set"
	case len(groups(config)) == 0:
		return "tls.Config.CurvePreferences has no group that this package knows and GODEBUG allows"
	case fips140.Enabled():
		return "FIPS 140-3 mode is on"
	case godebug("tlsmaxrsasize") != "":
		return "GODEBUG sets tlsmaxrsasize"
	}
	return ""
}

// godebug returns the value of a GODEBUG setting: that of the environment, else that which the program was built with; "" if
// there is none.
//
// Few of those of crypto/tls are for a TLS 1.3 client, and only these are looked at. Go sets some by itself, for a program that
// names an older version of it, and that must not switch the engine off: tlsmlkem and tlssecpmlkem are honoured (see groups).
// tlsmaxrsasize nobody sets but by hand; the engine has the usual limit. What tls10server, tls3des, tlsrsakex, tlssha1 and
// tlsunsafeekm change is TLS 1.2 or a server, and crypto/tls obeys them where it runs the connection. Those of crypto/x509 hold for
// the engine too, which verifies by it.
func godebug(name string) string {
	value := ""
	last := func(settings string) {
		for setting := range strings.SplitSeq(settings, ",") {
			if n, v, _ := strings.Cut(strings.TrimSpace(setting), "="); n == name {
				value = v
			}
		}
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "DefaultGODEBUG" {
				last(s.Value)
			}
		}
	}
	last(os.Getenv("GODEBUG"))
	return value
}

// groups returns what config.CurvePreferences and GODEBUG leave of the groups that the engine has. As in crypto/tls the order
// of CurvePreferences means nothing.
func groups(config *tls.Config) []tls.CurveID {
	noHybrid, noSecP := godebug("tlsmlkem") == "0", godebug("tlssecpmlkem") == "0"
	return slices.DeleteFunc(handshake.DefaultGroups(), func(g tls.CurveID) bool {
		return noHybrid && handshake.PostQuantum(g) || noSecP && handshake.PostQuantum(g) && g != tls.X25519MLKEM768 ||
			len(config.CurvePreferences) > 0 && !slices.Contains(config.CurvePreferences, g)
	})
}

// engineConfig maps what a tls.Config says to the engine. The fields that are
// not here are in the table of the package documentation.
func engineConfig(config *tls.Config, groups []tls.CurveID) handshake.Config {
	return handshake.Config{
		ServerName:            config.ServerName,
		NextProtos:            config.NextProtos,
		Groups:                groups,
		RootCAs:               config.RootCAs,
		InsecureSkipVerify:    config.InsecureSkipVerify,
		VerifyPeerCertificate: config.VerifyPeerCertificate,
		VerifyConnection:      config.VerifyConnection,
		Time:                  config.Time,
		Certificates:          config.Certificates,
		GetClientCertificate:  config.GetClientCertificate,
		KeyLogWriter:          config.KeyLogWriter,
	}
}

// lockedWriter lets the connections of a Dialer share a KeyLogWriter. (The lock of crypto/tls is one for the whole process, and
// out of reach.)
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

// lockKeyLog returns a config whose KeyLogWriter has a lock: one for all Dialers that are made from one another, as they may
// have the writer in common.
func (d *Dialer) lockKeyLog(config *tls.Config) *tls.Config {
	if config == nil || config.KeyLogWriter == nil {
		return config
	}
	if _, ok := config.KeyLogWriter.(*lockedWriter); ok {
		return config
	}
	config = config.Clone()
	config.KeyLogWriter = &lockedWriter{&d.first().keyLog, config.KeyLogWriter}
	return config
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// verifyTime is the clock of certificate verification.
func verifyTime(config *tls.Config) time.Time {
	if config.Time != nil {
		return config.Time()
	}
	return time.Now()
}
