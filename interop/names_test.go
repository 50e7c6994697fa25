package interop

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
)

// hosts returns a resolver for which every name has these addresses.
func hosts(addrs ...string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server, addrs)
		return client, nil
	}}
}

// answerDNS answers the queries of net, which takes a connection that is no net.PacketConn for TCP (RFC 1035, section 4.2.2).
func answerDNS(conn net.Conn, addrs []string) {
	const prefix, header, typeA = 2, 12, 1
	defer conn.Close()
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil || n < prefix+header {
			return
		}
		query := buf[prefix:n]
		end := header
		for query[end] != 0 {
			end += 1 + int(query[end])
		}
		end += 1 + 4 // the root label, type, class
		kind := binary.BigEndian.Uint16(query[end-4:])
		answer := append([]byte{0, 0}, query[:2]...)
		answer = append(answer, 0x84, 0x80, 0, 1, 0, 0, 0, 0, 0, 0) // an authoritative answer with one question
		answer = append(answer, query[header:end]...)
		count := byte(0)
		for _, s := range addrs {
			if ip := netip.MustParseAddr(s); ip.Is4() == (kind == typeA) {
				count++
				answer = append(answer, 0xc0, header) // the name in the question
				answer = binary.BigEndian.AppendUint16(answer, kind)
				answer = append(answer, 0, 1, 0, 0, 0, 60, 0, byte(ip.BitLen()/8))
				answer = append(answer, ip.AsSlice()...)
			}
		}
		answer[prefix+7] = count
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-prefix))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
