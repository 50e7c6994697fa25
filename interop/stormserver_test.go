package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/internal/testpeer"
	"github.com/tlstfo/tlstfo/tfo"
)

// stormSaw is what the storm's server was asked.
type stormSaw struct {
	Requests              int // different ones
	GetsTwice, PostsTwice int
	GetsEarly, PostsEarly int
}

// stormServerMain answers every line with itself, until its input ends; then it tells what it saw.
func stormServerMain(args []string) error {
	cert, err := tls.LoadX509KeyPair(args[0], args[1])
	if err != nil {
		return err
	}
	peer, err := testpeer.New(cert)
	if err != nil {
		return err
	}
	l, err := tfo.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var saw stormSaw
	go peer.Serve(l, func(c *testpeer.ServerConn) {
		c.SetDeadline(time.Now().Add(2 * stormPatience))
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			return
		}
		get, early := strings.HasPrefix(line, "GET "), c.Info().EarlyBytes > 0
		mu.Lock()
		seen[line]++
		count := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		count(&saw.Requests, seen[line] == 1)
		count(&saw.GetsTwice, seen[line] == 2 && get)
		count(&saw.PostsTwice, seen[line] == 2 && !get)
		count(&saw.GetsEarly, early && get)
		count(&saw.PostsEarly, early && !get)
		mu.Unlock()
		if _, err := io.WriteString(c, line); err == nil {
			c.Read(make([]byte, 1)) // the client closes
		}
	}, nil)
	io.Copy(io.Discard, os.Stdin)
	mu.Lock()
	defer mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(saw)
}

// stormServer is the storm's server.
type stormServer struct {
	*server
	stdin io.Closer
}

func startStormServer(t *testing.T, lab *netlab.Lab, cred *credentials) stormServer {
	t.Helper()
	var stdin io.Closer
	s := serve(t, lab, func(ctx context.Context) *exec.Cmd {
		cmd := lab.Server.Func(ctx, "stormserver", cred.cert, cred.key)
		var err error
		if stdin, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		return cmd
	})
	return stormServer{s, stdin}
}

// saw ends the server and returns what it saw.
func (s stormServer) saw() (saw stormSaw) {
	s.t.Helper()
	s.stdin.Close()
	<-s.ended
	if err := json.Unmarshal([]byte(s.output.String()), &saw); err != nil {
		s.t.Fatalf("%v: %s", err, s.output.String())
	}
	return saw
}
