package testpeer

import (
	"bufio"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlstfo/tlstfo/handshake"
)

// curl gets two pages over two connections, and resumes on the second.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("TLSTFO_REQUIRE") != "" {
			t.Fatal("curl is missing: ", err)
		}
		t.Skip("curl is missing: ", err)
	}
	p := newPeer(t)
	p.Update(func(cfg *handshake.ServerConfig) { cfg.NextProtos = []string{"http/1.1"} })
	p.handler.Store(func(c *ServerConn) {
		request, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\npage "+request.URL.Path[1:])
		p.infos <- c.Info()
	})
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.ca.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "https://" + p.addr + "/"
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "--noproxy", "*", "--max-time", "20", "--tlsv1.3", "--cacert", root, url+"1", url+"2").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "page 1page 2") {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range 2 {
		if info := <-p.infos; info.State.DidResume != (i > 0) || info.State.NegotiatedProtocol != "http/1.1" {
			t.Errorf("connection %d: %+v", i, info.State)
		}
	}
}
