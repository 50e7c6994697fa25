package tlstfo

import (
	"crypto/tls"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/handshake"
	"github.com/tlstfo/tlstfo/tfo"
)

// TestWithTLSConfigFields: every exported field of a Dialer comes along, whichever are added.
func TestWithTLSConfigFields(t *testing.T) {
	var hello struct{ handshake.Builder }
	d := &Dialer{TLSConfig: &tls.Config{}, NetDialer: &net.Dialer{}, Sessions: NewSessionCache(0), Partition: "p",
		Early: all, EarlyData: func(EarlyDataOffer) bool { return true }, FailOnReject: true, StrictIdentity: true, NoFastOpen: true,
		FastOpen: new(tfo.Memory), Timeout: time.Hour, Cork: time.Minute, ReadGrace: time.Second, HybridRefresh: 1, Hello: hello, Trace: new(Trace)}
	config := &tls.Config{ServerName: "other"}
	before, after := reflect.ValueOf(d).Elem(), reflect.ValueOf(d.WithTLSConfig(config)).Elem()
	for i := range before.NumField() {
		f := before.Type().Field(i)
		switch {
		case !f.IsExported():
		case before.Field(i).IsZero():
			t.Errorf("the test leaves %s out", f.Name)
		case f.Name == "TLSConfig":
			if after.Field(i).Interface() != any(config) {
				t.Errorf("TLSConfig is %v", after.Field(i))
			}
		case f.Type.Kind() == reflect.Func:
			if before.Field(i).Pointer() != after.Field(i).Pointer() {
				t.Errorf("%s is another function", f.Name)
			}
		case before.Field(i).Interface() != after.Field(i).Interface():
			t.Errorf("%s is %v, want %v", f.Name, after.Field(i), before.Field(i))
		}
	}
}

// TestWithTLSConfigShares: sessions, where they may be shared, and what Flush waits for are one.
func TestWithTLSConfigShares(t *testing.T) {
	noLeak(t)
	for _, test := range []struct {
		name   string
		change func(*Dialer)
		shares bool
	}{
		{"Sessions", func(d *Dialer) { d.Sessions = NewSessionCache(0) }, true},
		{"memory", func(*Dialer) {}, true},
		{"unverified", func(d *Dialer) { d.TLSConfig.InsecureSkipVerify = true }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOrigin(t)
			defer o.Close()
			d := o.dialer()
			test.change(d)
			twin := d.WithTLSConfig(d.TLSConfig).WithTLSConfig(d.TLSConfig)
			if twin.fastOpen() != d.fastOpen() {
				t.Error("two memories of Fast Open")
			}
			o.prime(t, d)
			c, err := twin.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
			if err != nil {
				t.Fatal(err)
			}
			if finish(t, c, "GET"); c.Info().Resumed != test.shares {
				t.Errorf("%+v", c.Info())
			}
			lone := twin.WithTLSConfig(o.config())
			lone.Sessions, lone.Partition = NewSessionCache(0), "lone"
			std, err := lone.Dial("tcp", o.addr)
			if err != nil {
				t.Fatal(err)
			}
			std.Close() // its tickets are not read yet
			if err := twin.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			d.lingers.mu.Lock()
			defer d.lingers.mu.Unlock()
			if lone.lingers.conns != nil || d.lingers.conns == nil || len(d.lingers.conns) > 0 {
				t.Errorf("%d wait after Flush", len(d.lingers.conns))
			}
		})
	}
}

// TestWithTLSConfigLearns: what one learns of a server the others know.
func TestWithTLSConfigLearns(t *testing.T) {
	d := new(Dialer)
	one := d.WithTLSConfig(nil).WithTLSConfig(nil)
	other := d.WithTLSConfig(nil)
	one.hosts.change("key", func(h *host) { h.group = tls.CurveP256 })
	for _, d := range []*Dialer{d, one, other} {
		if got := d.hosts.get("key").group; got != tls.CurveP256 {
			t.Errorf("group %v", got)
		}
	}
}

// TestWithTLSConfigVerified: a session that nobody verified serves no Dialer that verifies.
func TestWithTLSConfigVerified(t *testing.T) {
	o := newOrigin(t)
	d := o.dialer()
	d.TLSConfig.InsecureSkipVerify = true
	strict := d.WithTLSConfig(o.config())
	lax := strict.WithTLSConfig(d.TLSConfig)
	o.prime(t, d)
	o.prime(t, lax)
	c, err := strict.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
	if err != nil {
		t.Fatal(err)
	}
	if finish(t, c, "GET"); c.Info().Resumed || len(c.ConnectionState().VerifiedChains) == 0 {
		t.Errorf("%+v", c.Info())
	}
}
