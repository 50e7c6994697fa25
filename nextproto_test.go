package tlstfo

import (
	"errors"
	"slices"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
)

// speak lets an origin choose among protos.
func (o *origin) speak(protos ...string) {
	o.Update(func(c *handshake.ServerConfig) { c.NextProtos = protos })
}

// TestNextProtoLooks: a look leaves the ticket where it is, and no hook is called. A cache that cannot show one has it back at
// once, and the hooks are told of both.
func TestNextProtoLooks(t *testing.T) {
	o := newOrigin(t)
	o.speak("two")
	for _, test := range []struct {
		name   string
		cache  SessionCache
		events []string
	}{
		{"memory", &countingSessions{memorySessions: NewSessionCache(0).(*memorySessions)}, nil},
		{"neither Len nor Peek", struct{ SessionCache }{NewSessionCache(0)}, []string{"taken", "returned"}},
	} {
		d := o.dialer()
		d.TLSConfig.NextProtos = []string{"two"}
		d.Sessions = test.cache
		o.prime(t, d)
		var events []string
		ctx := WithTrace(t.Context(), &Trace{
			TicketTaken:    func(TraceTicket) { events = append(events, "taken") },
			TicketReturned: func(TraceTicket) { events = append(events, "returned") },
		})
		c, err := d.newConn(ctx, "tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		counting, counts := test.cache.(*countingSessions)
		if counts {
			counting.taken = 0
		}
		if s := c.peek(); s == nil || s.hs.ALPN != "two" || counts && counting.taken > 0 {
			t.Errorf("%s: %v, %+v", test.name, s, counting)
		}
		if !slices.Equal(events, test.events) {
			t.Errorf("%s: %v, want %v", test.name, events, test.events)
		}
	}
}

// countingSessions counts what is taken.
type countingSessions struct {
	*memorySessions
	taken int
}

func (c *countingSessions) Take(key string) *Session {
	c.taken++
	return c.memorySessions.Take(key)
}

// A ticket says which protocol comes next, and looking does not use it up. Bytes of that protocol are early, those of another are
// not, and are not sent at all.
func TestDialEarlyAs(t *testing.T) {
	noLeak(t)
	o := newOrigin(t)
	o.speak("two")
	config := o.config()
	config.NextProtos = []string{"one", "two"}
	d := o.dialer().WithTLSConfig(config)
	if proto, ok := d.NextProto("tcp", o.addr); ok {
		t.Errorf("NextProto is %q without a ticket", proto)
	}
	o.prime(t, d)
	for range 2 * ticketsPerKey {
		if proto, ok := d.NextProto("tcp", o.addr); proto != "two" || !ok {
			t.Fatalf("NextProto is %q, %v, want two", proto, ok)
		}
	}

	c, err := d.DialEarlyAs(t.Context(), "tcp", o.addr, []byte("as two"), "two")
	if err != nil {
		t.Fatal(err)
	}
	finish(t, c, "as two")
	if v := o.onlyVisit(t); v.early() != "as two" {
		t.Errorf("%q came early, want all", v.early())
	}

	for _, how := range []struct {
		name   string
		change func()
	}{
		{"another ticket's", func() {}},
		{"crypto/tls", func() { d.std = "a test" }},
		{"no ticket", func() { d = o.dialer().WithTLSConfig(config) }},
	} {
		how.change()
		proto, hadTicket := d.NextProto("tcp", o.addr)
		if hadTicket == (how.name == "no ticket") {
			t.Errorf("%s: there is a ticket: %v", how.name, hadTicket)
		}
		for range ticketsPerKey { // as many as there can be: each of them goes back
			c, err := d.DialEarlyAs(t.Context(), "tcp", o.addr, []byte("as one"), "one", "")
			if err == nil {
				err = c.Handshake()
				c.Close()
			}
			if !errors.Is(err, ErrOtherProtocol) {
				t.Errorf("%s: %v, want ErrOtherProtocol", how.name, err)
			}
		}
		if p, ok := d.NextProto("tcp", o.addr); ok != hadTicket || p != proto {
			t.Errorf("%s: the ticket of %q (%v) became one of %q (%v)", how.name, proto, hadTicket, p, ok)
		}
	}
	o.speak("one")
	o.prime(t, d)
	o.speak("two")
	if c, err := d.DialEarlyAs(t.Context(), "tcp", o.addr, []byte("as two"), "two"); err != nil {
		t.Error(err)
	} else {
		finish(t, c, "as two")
		if e := c.Info().Early; e.Reason != EarlyOtherProtocol || e.Offered {
			t.Errorf("with a ticket of one: %+v", e)
		}
		o.onlyVisit(t)
	}
	o.speak("one")
	o.prime(t, d)  // its ticket is the newest
	o.speak("two") // and refuses the early data, as it must
	c, err = d.DialEarlyAs(t.Context(), "tcp", o.addr, []byte("as one"), "one")
	if err == nil {
		err = c.Handshake()
		c.Close()
	}
	if !errors.Is(err, ErrOtherProtocol) && !errors.Is(err, ErrEarlyDataRejected) {
		t.Errorf("the server changed its mind: %v", err)
	}
	o.Close()
	select {
	case v := <-o.visits:
		if v.data != "" {
			t.Errorf("%q reached the application", v.data)
		}
	default:
	}
}
