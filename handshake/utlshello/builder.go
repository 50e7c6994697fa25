package utlshello

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	utls "github.com/refraction-networking/utls"

	"github.com/tlstfo/tlstfo/handshake"
)

// Builder builds ClientHellos by utls. It is a handshake.Builder, so it can be a
// Dialer's Hello. It is safe for concurrent use and must not be changed after first use.
type Builder struct {
	// ApplicationSettings are what is sent to a server that takes the
	// application settings (ALPS) that some hellos offer, by application protocol. A
	// protocol that is not here has empty settings, as in Chrome.
	ApplicationSettings map[string][]byte

	name string
	spec func() (*utls.ClientHelloSpec, error) // of each hello; it is not changed

	scope func() string
}

// newBuilder makes a Builder of what spec returns.
func newBuilder(name string, spec func() (*utls.ClientHelloSpec, error)) *Builder {
	return &Builder{name: name, spec: spec, scope: sync.OnceValue(func() string {
		model, err := spec()
		if err != nil {
			return name // and no hello
		}
		return digest(model)
	})}
}

// Fingerprint returns a Builder of the hellos that a client is known by, such as utls.HelloChrome_Auto. What cannot be built, or
// not be honoured, is an error of every BuildHello, and so of every dial: presets without TLS 1.3, with a share of a
// Kyber draft, or with an extension that the engine does not have.
//
// A randomized id gives every connection of the Builder the same fingerprint: that of its Seed, or of one that is drawn at first use,
// with TLS 1.3 and a share for the group that it lists first. A session could hardly be resumed under others, whose order of
// suites is another.
func Fingerprint(id utls.ClientHelloID) *Builder {
	seeded := func() (utls.ClientHelloID, error) { return id, nil }
	if isRandomized(id) && id.Seed == nil {
		seeded = sync.OnceValues(func() (utls.ClientHelloID, error) { return drawSeed(id) })
	}
	return newBuilder(id.Str(), func() (*utls.ClientHelloSpec, error) {
		id, err := seeded()
		if err != nil {
			return nil, err
		}
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			return nil, err
		}
		if isRandomized(id) {
			dropUnlisted(&spec)
		}
		return &spec, nil
	})
}

// isRandomized tells whether every seed gives another hello.
func isRandomized(id utls.ClientHelloID) bool {
	switch id.Client {
	case utls.HelloRandomized.Client, utls.HelloRandomizedALPN.Client, utls.HelloRandomizedNoALPN.Client:
		return true
	}
	return false
}

// drawSeed draws until a seed gives TLS 1.3, which two of five do by utls's default weights, and a share for the group that is
// listed first: servers that prefer another would ask for one, and refuse early data by that.
func drawSeed(id utls.ClientHelloID) (utls.ClientHelloID, error) {
	for range 200 {
		seed, err := utls.NewPRNGSeed()
		if err != nil {
			return id, err
		}
		id.Seed = seed
		spec, err := utls.UTLSIdToSpec(id)
		if err != nil {
			return id, err
		}
		if spec.TLSVersMax == utls.VersionTLS13 && sharesFirst(&spec) {
			return id, nil
		}
	}
	return id, errors.New("no hello with TLS 1.3 was drawn in 200: the Weights forbid it")
}

// dropUnlisted drops shares for groups that a spec does not list: one randomized hello in seven by utls's default weights
// has such a share of X25519MLKEM768. It is against RFC 8446, section 4.2.8, and OpenSSL refuses it.
func dropUnlisted(spec *utls.ClientHelloSpec) {
	listed, shares := groupsOf(spec)
	if shares != nil {
		shares.KeyShares = slices.DeleteFunc(shares.KeyShares, func(s utls.KeyShare) bool { return !slices.Contains(listed, s.Group) })
	}
}

// sharesFirst tells whether the group that a spec lists first has a share.
func sharesFirst(spec *utls.ClientHelloSpec) bool {
	listed, shares := groupsOf(spec)
	return shares != nil && slices.ContainsFunc(shares.KeyShares, func(s utls.KeyShare) bool { return s.Group == listed[0] })
}

// groupsOf returns the groups that a randomized spec lists, and its shares, nil without TLS 1.3.
func groupsOf(spec *utls.ClientHelloSpec) (listed []utls.CurveID, shares *utls.KeyShareExtension) {
	for _, e := range spec.Extensions {
		switch e := e.(type) {
		case *utls.SupportedCurvesExtension:
			listed = e.Curves
		case *utls.KeyShareExtension:
			shares = e
		}
	}
	return listed, shares
}

// Spec returns a Builder of the hellos that spec describes. It copies spec for every hello, and never changes it.
// Shares that have no data get a key of their own; a pre_shared_key is left out, since sessions are the engine's.
// An utls.GenericExtension 42 without data says where early_data shall stand, one with 44 where a cookie.
func Spec(spec *utls.ClientHelloSpec) *Builder {
	return newBuilder("spec", func() (*utls.ClientHelloSpec, error) {
		if spec == nil {
			return nil, errors.New("the spec is nil")
		}
		return spec, nil
	})
}

// BuildHello makes the engine a hello. Of the Config it takes ServerName, NextProtos and Groups: the package documentation
// says how.
func (b *Builder) BuildHello(cfg *handshake.Config, rand io.Reader) (hello *handshake.Hello, err error) {
	defer func() {
		// utls panics on what it calls misuse, which a spec of the caller's can be.
		if p := recover(); p != nil {
			err = fmt.Errorf("utls panicked: %v", p)
		}
		if err != nil {
			hello, err = nil, fmt.Errorf("utlshello: %s: %w", b.name, err)
		}
	}()
	if b.spec == nil {
		return nil, errors.New("a Builder is made by Fingerprint or Spec")
	}
	if cfg.SignatureAlgorithms != nil {
		return nil, errors.New("Config.SignatureAlgorithms cannot change those of a fingerprint")
	}
	model, err := b.spec()
	if err != nil {
		return nil, err
	}
	hello = &handshake.Hello{ApplicationSettings: b.ApplicationSettings, Decompressors: decompressors}
	spec := *model
	if spec.Extensions, err = extensions(model.Extensions, cfg, rand, hello); err != nil {
		return nil, err
	}
	conn := utls.UClient(nil, utlsConfig(cfg, rand), utls.HelloCustom)
	if err := conn.ApplyPreset(&spec); err != nil {
		return nil, err
	}
	if err := conn.BuildHandshakeState(); err != nil {
		return nil, err
	}
	hello.Raw = conn.HandshakeState.Hello.Raw
	return hello, nil
}

// utlsConfig is what utls needs to build a hello. The table of the package documentation has all of its fields.
func utlsConfig(cfg *handshake.Config, rand io.Reader) *utls.Config {
	return &utls.Config{
		Rand:                   rand,
		ServerName:             cfg.ServerName,
		NextProtos:             slices.Clone(cfg.NextProtos),
		InsecureSkipVerify:     true, // nothing is verified here: the engine does it
		SessionTicketsDisabled: true, // sessions are the engine's
	}
}

// extensions copies a spec's extensions and settles what is this connection's: names, protocols, shares, and what the
// engine edits.
func extensions(model []utls.TLSExtension, cfg *handshake.Config, rand io.Reader, hello *handshake.Hello) ([]utls.TLSExtension, error) {
	var list []utls.TLSExtension
	for _, e := range model {
		e, err := clone(e)
		if err != nil {
			return nil, err
		}
		keep := true
		switch e := e.(type) {
		case utls.PreSharedKeyExtension:
			keep = false // the engine makes its own
		case *utls.ALPNExtension:
			if len(cfg.NextProtos) > 0 {
				e.AlpnProtocols = slices.Clone(cfg.NextProtos)
			}
		case *utls.ApplicationSettingsExtension:
			e.SupportedProtocols, keep = onlyOffered(e.SupportedProtocols, cfg.NextProtos)
		case *utls.ApplicationSettingsExtensionNew:
			e.SupportedProtocols, keep = onlyOffered(e.SupportedProtocols, cfg.NextProtos)
		case *utls.SupportedCurvesExtension:
			e.Curves = slices.DeleteFunc(e.Curves, func(g utls.CurveID) bool { return forbidden(g, cfg) })
			if !slices.ContainsFunc(e.Curves, known) {
				return nil, errors.New("Config.Groups leaves no group of the fingerprint")
			}
		case *utls.KeyShareExtension:
			e.KeyShares = slices.DeleteFunc(e.KeyShares, func(s utls.KeyShare) bool { return forbidden(s.Group, cfg) })
			if hello.Keys, err = fillShares(e.KeyShares, rand); err != nil {
				return nil, err
			}
		case *utls.UtlsPaddingExtension:
			// The engine pads, since it alone knows how long the hello gets.
			hello.Padding = padding(e)
			list, keep = append(list, &utls.GenericExtension{Id: extPadding}), false
		}
		if keep {
			list = append(list, e)
		}
	}
	return addPlaces(list, rand)
}

// onlyOffered leaves of the protocols with settings those that are offered: no settings without the protocol
// (draft-vvv-tls-alps, section 3).
func onlyOffered(protos, offered []string) ([]string, bool) {
	if len(offered) > 0 {
		protos = slices.DeleteFunc(protos, func(p string) bool { return !slices.Contains(offered, p) })
	}
	return protos, len(protos) > 0
}

// padding returns how much padding an extension of utls would have.
func padding(e *utls.UtlsPaddingExtension) func(int) (int, bool) {
	if e.GetPaddingLen != nil {
		return e.GetPaddingLen
	}
	zeros, ok := e.PaddingLen, e.WillPad
	return func(int) (int, bool) { return zeros, ok }
}
