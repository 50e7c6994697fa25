//go:build !tlstfo_portable

package tfo

import (
	"net"
	"testing"
)

// What the hooks tell is what the kernel did.
func TestTraceOfTheKernel(t *testing.T) {
	fastOpenTest(t)
	host := fresh4()
	address, got := sink(t, "tcp", net.JoinHostPort(host, "0"))
	data := []byte("the first flight")
	var log traceLog
	ctx := WithTrace(t.Context(), log.trace())
	dial := func(d *Dialer) {
		t.Helper()
		conn, _, err := d.DialContext(ctx, "tcp", address, flight(data, nil))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		<-got
	}

	rise := counters(t, func() { dial(new(Dialer)) }, tcpExt...)
	log.check(t, "dial tcp "+address, host+" fastopen",
		host+" fastopen syn 0 cookie absent (no cookie)", host+" fastopen syn-ack 0 false false (no cookie)",
		host+" fastopen: <nil>", "dialled, 1 attempts, error false")
	if rise["TCPFastOpenCookieReqd"] != 1 {
		t.Errorf("no cookie was asked for: %v", rise)
	}

	rise = counters(t, func() { dial(new(Dialer)) }, tcpExt...)
	log.check(t, "dial tcp "+address, host+" fastopen",
		host+" fastopen syn 16 cookie present (none)", host+" fastopen syn-ack 16 true false (none)",
		host+" fastopen: <nil>", "dialled, 1 attempts, error false")
	if rise["TCPFastOpenActive"] != 1 {
		t.Errorf("no data in the SYN: %v", rise)
	}

	dial(&Dialer{Disable: true})
	log.check(t, "dial tcp "+address, host+" plain",
		host+" plain syn 0 cookie unknown (disabled)", host+" plain syn-ack 0 false false (disabled)",
		host+" plain: <nil>", "dialled, 1 attempts, error false")

	sysctl(t, "tcp_fastopen", "2")
	dial(new(Dialer))
	log.check(t, "dial tcp "+address, host+" fastopen",
		host+" fastopen syn 0 cookie unknown (switched off)", host+" fastopen syn-ack 0 false false (switched off)",
		host+" fastopen: <nil>", "dialled, 1 attempts, error false")
}
