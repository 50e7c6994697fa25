package handshake

import (
	"encoding/binary"
	"sync"
	"testing"
)

// Sealer and Opener of both ends run at once, while both ask for new keys all
// the time: all data comes, in order. (What this finds the race detector says.)
func TestSplitConcurrent(t *testing.T) {
	for _, id := range testSuites {
		a, aIn, b, bIn := testSplit(t, id, nil)
		const rounds = 500
		send := func(s *Sealer, to chan<- []byte) {
			defer close(to)
			for i := range rounds {
				var out []byte
				if i%3 == 0 {
					out = s.KeyUpdate(out, true)
				}
				out = s.Seal(out, binary.BigEndian.AppendUint32(nil, uint32(i)))
				to <- out
			}
			to <- s.CloseNotify(nil)
		}
		receive := func(o *Opener, from <-chan []byte) {
			next := uint32(0)
			for p := range from {
				o.Feed(p)
				for {
					ev, err := o.Next(testTime)
					if err != nil {
						t.Error(err)
						return
					}
					if ev.Kind == EventCloseNotify && next != rounds {
						t.Errorf("closed after %d records", next)
					}
					if ev.Kind != EventData {
						break
					}
					if got := binary.BigEndian.Uint32(ev.Data); len(ev.Data) != 4 || got != next {
						t.Errorf("record %d came as %d", next, got)
					}
					next++
				}
			}
		}
		there, back := make(chan []byte, 8), make(chan []byte, 8)
		var all sync.WaitGroup
		all.Go(func() { send(a, there) })
		all.Go(func() { send(b, back) })
		all.Go(func() { receive(bIn, there) })
		all.Go(func() { receive(aIn, back) })
		all.Wait()
	}
}

// One Config, with its caches and pools, serves many clients and servers at
// once.
func TestSharedConfigs(t *testing.T) {
	server, client, _ := serverSetup(t)
	allowEarlyData(server)
	server.NextProtos, client.NextProtos = []string{"h2"}, []string{"h2"}
	client.CertificateCache, client.Buffers = new(CertificateCache), new(BufferPool)
	sessions := make(chan *Session, 64)
	for range cap(sessions) {
		sessions <- firstSession(t, server, client)
	}
	close(sessions)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for session := range sessions {
				p := newPair(t, server, resume(client, session, 0, true), "early")
				if ce, se := p.run(); ce != nil || se != nil || string(p.early) != "early" {
					t.Errorf("%v, %v, %q", ce, se, p.early)
				}
			}
		})
	}
	all.Wait()
	if server.AntiReplay.Use([32]byte{}, testTime) == false {
		t.Error("the register is full")
	}
}
