// Package godebug tests a Transport in a program whose own settings switch HTTP/2 off.
//
//go:debug http2client=0
package godebug

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"

	"github.com/tlstfo/tlstfo"
	"github.com/tlstfo/tlstfo/tfohttp"
)

// A Transport speaks HTTP/2 where net/http does: not in this program, unless the environment says so.
func TestHTTP2Client(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for _, tt := range []struct{ environment, want string }{{"", "HTTP/1.1"}, {"http2client=1", "HTTP/2.0"}, {"http2client=1,http2client=0", "HTTP/1.1"}} {
		if t.Setenv("GODEBUG", tt.environment); tt.environment == "" {
			os.Unsetenv("GODEBUG")
		}
		tr := &tfohttp.Transport{
			Dialer: &tlstfo.Dialer{TLSConfig: &tls.Config{RootCAs: roots}},
			Proxy:  func(*http.Request) (*url.URL, error) { return nil, nil },
		}
		for range 2 {
			resp, err := (&http.Client{Transport: tr}).Get(s.URL)
			if err != nil {
				t.Fatalf("GODEBUG=%s: %v", tt.environment, err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(body) != tt.want || err != nil {
				t.Errorf("GODEBUG=%s: %q, %v, want %q", tt.environment, body, err, tt.want)
			}
		}
		tr.CloseIdleConnections()
		tr.Dialer.Close()
	}
}
