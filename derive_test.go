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
		FastOpen: new(tfo.Memory), Timeout: time.Hour, Cork: time.Minute, ReadGrace: time.Second, HybridRefresh: 1, Hello: hello}
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

// TestWithTLSConfigShares: Sessions that are set, the memory of Fast Open and what Flush waits for are one.
func TestWithTLSConfigShares(t *testing.T) {
	noLeak(t)
	o := newOrigin(t)
	d := o.dialer()
	d.Sessions = NewSessionCache(0)
	twin := d.WithTLSConfig(o.config()).WithTLSConfig(o.config())
	if twin.fastOpen() != d.fastOpen() {
		t.Error("two memories of Fast Open")
	}
	o.prime(t, twin)
	c, err := d.DialEarly(t.Context(), "tcp", o.addr, []byte("GET"))
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "GET")
	if !c.Info().Early.Accepted {
		t.Errorf("the other's session was not used: %+v", c.Info())
	}

	lone := o.dialer() // a memory of its own
	other := lone.WithTLSConfig(o.config())
	for _, d := range []*Dialer{lone, other} {
		c, err := d.Dial("tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		if c.(*Conn).Info().Resumed {
			t.Error("a session of another's memory was used")
		}
		c.Close() // the tickets are not read yet
		if err := other.Flush(t.Context()); err != nil || lone.lingers.conns == nil || len(lone.lingers.conns) > 0 {
			t.Errorf("Flush: %v, and %d wait", err, len(lone.lingers.conns))
		}
		lone.lingers.conns = nil
	}
	o.Close()
}
