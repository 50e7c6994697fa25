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
	if config.ServerName == "" && strings.HasPrefix(network, "tcp") {
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
		return "tls.Config.CurvePreferences has no group that this package knows"
	case fips140.Enabled():
		return "FIPS 140-3 mode is on"
	case godebugChangesTLS():
		return "GODEBUG changes crypto/tls"
	}
	return ""
}

// godebugChangesTLS tells whether a GODEBUG setting with an effect on crypto/tls
// is in force. Such settings are escape hatches; whoever uses one means crypto/tls.
// Those of crypto/x509 are none: the engine verifies by it too, so that they hold as
// they are. (A newer Go sets some by itself, for modules that name an older one.)
func godebugChangesTLS() bool {
	settings := os.Getenv("GODEBUG")
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "DefaultGODEBUG" {
				settings += "," + s.Value
			}
		}
	}
	for setting := range strings.SplitSeq(settings, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(setting), "=")
		switch {
		case name == "tls10server" || name == "tlskyber": // a server's, and one that no longer exists
		case strings.HasPrefix(name, "tls"):
			return true
		}
	}
	return false
}

// groups returns what config.CurvePreferences leaves of the groups that the
// engine has. As in crypto/tls the order of CurvePreferences means nothing.
func groups(config *tls.Config) []tls.CurveID {
	if len(config.CurvePreferences) == 0 {
		return handshake.DefaultGroups()
	}
	all := []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
		tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	return slices.DeleteFunc(all, func(g tls.CurveID) bool { return !slices.Contains(config.CurvePreferences, g) })
}

// isHybrid tells whether a group is post-quantum.
func isHybrid(g tls.CurveID) bool {
	return g == tls.X25519MLKEM768 || g == tls.SecP256r1MLKEM768 || g == tls.SecP384r1MLKEM1024
}

// engineConfig maps what a tls.Config says to the engine. The fields that are
// not here are in the table of the package documentation.
func engineConfig(config *tls.Config) handshake.Config {
	return handshake.Config{
		ServerName:            config.ServerName,
		NextProtos:            config.NextProtos,
		Groups:                groups(config),
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

// lockedWriter lets connections share a KeyLogWriter, as crypto/tls does.
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
