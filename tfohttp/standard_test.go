package tfohttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What users of net/http rely on, over servers of ours, which take early data, and of net/http, which do not.

// closeCounter is a body that counts how often it is closed.
type closeCounter struct {
	io.Reader
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

// everyServer runs a test over both kinds of servers, both versions of HTTP, without a ticket and with one.
func everyServer(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, tr *Transport, url string)) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/warm" {
			handler(w, r)
		}
	}
	run := func(t *testing.T, name string, tr *Transport, url string) {
		t.Run(name+", first contact", func(t *testing.T) { f(t, tr, url) })
		t.Run(name+", again", func(t *testing.T) {
			get(t, tr, url+"/warm")
			cold(t, tr)
			f(t, tr, url)
		})
	}
	versions(t, func(t *testing.T, proto string) {
		p := newPeer(t, http.HandlerFunc(h), proto)
		run(t, "0-RTT server", p.client(t), p.url)
		s, tr := newStd(t, http.HandlerFunc(h), proto)
		run(t, "net/http", tr, s.URL)
	})
}

// newStd starts a server of net/http and crypto/tls.
func newStd(t *testing.T, h http.Handler, proto string) (*httptest.Server, *Transport) {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = proto == protoHTTP2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, newTransport(t, &tls.Config{RootCAs: pool(s)})
}

func pool(s *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return roots
}

func TestRedirectsAndCookies(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/one":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, "/two", http.StatusTemporaryRedirect)
		case "/two":
			c, err := r.Cookie("a")
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %v %v %s", r.Method, c, err, body)
		}
	}, func(t *testing.T, tr *Transport, url string) {
		jar, _ := cookiejar.New(nil)
		client := &http.Client{Transport: tr, Jar: jar}
		resp, err := client.Post(url+"/one", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "POST a=b <nil> body" || resp.Request.URL.Path != "/two" {
			t.Errorf("%q from %s", body, resp.Request.URL)
		}
	})
}

func TestGzip(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer z.Close()
			io.WriteString(z, "packed")
		}
	}, func(t *testing.T, tr *Transport, url string) {
		if resp, body := get(t, tr, url+"/"); body != "packed" || !resp.Uncompressed {
			t.Errorf("%q, uncompressed %v", body, resp.Uncompressed)
		}
	})
}

func TestExpectContinue(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	}, func(t *testing.T, tr *Transport, url string) {
		var went bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { went = true }})
		req := newRequest(t, "POST", url+"/yes", strings.NewReader("body")).WithContext(ctx)
		req.Header.Set("Expect", "100-continue")
		if _, body := do(t, tr, req); body != "body" || !went {
			t.Errorf("%q, 100 Continue came: %v", body, went)
		}
		body := &closeCounter{Reader: errorReader{t}}
		req = newRequest(t, "POST", url+"/no", body)
		req.ContentLength = 4
		req.Header.Set("Expect", "100-continue")
		req.Close = true
		if resp, _ := do(t, tr, req); resp.StatusCode != http.StatusForbidden {
			t.Error(resp.Status)
		}
	})
}

type errorReader struct{ t *testing.T }

func (r errorReader) Read([]byte) (int, error) {
	r.t.Error("the body was read that the server did not want")
	return 0, io.EOF
}

func TestTrailers(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "Sum")
		w.Write(body)
		w.Header().Set("Sum", r.Trailer.Get("Sum")+" back")
	}, func(t *testing.T, tr *Transport, url string) {
		req := newRequest(t, "POST", url, io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"Sum": {"there"}}
		if resp, body := do(t, tr, req); body != "body" || resp.Trailer.Get("Sum") != "there back" {
			t.Errorf("%q, trailer %v", body, resp.Trailer)
		}
	})
}

func TestInformational(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	}, func(t *testing.T, tr *Transport, url string) {
		var hints []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, code)
			return nil
		}})
		if resp, _ := do(t, tr, newRequest(t, "GET", url, nil).WithContext(ctx)); resp.StatusCode != http.StatusAccepted || fmt.Sprint(hints) != "[103]" {
			t.Errorf("%s after %v", resp.Status, hints)
		}
	})
}

// Large bodies go both ways at once, and the ends of both are seen.
func TestLargeBodies(t *testing.T) {
	const size = 3 << 20
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		n, err := io.Copy(w, r.Body)
		if n != size || err != nil {
			w.Header().Set(http.TrailerPrefix+"Fault", fmt.Sprint(n, err))
		}
	}, func(t *testing.T, tr *Transport, url string) {
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		resp, got := do(t, tr, newRequest(t, "PUT", url, io.MultiReader(bytes.NewReader(want))))
		if got != string(want) || resp.Trailer.Get("Fault") != "" {
			t.Errorf("%d bytes came back, want %d: %s", len(got), size, resp.Trailer.Get("Fault"))
		}
	})
}

// A response that is closed early ends neither the next request nor, on HTTP/2, the connection.
func TestEarlyClose(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			for w.(http.Flusher).Flush(); r.Context().Err() == nil; {
				if _, err := w.Write(make([]byte, 1<<15)); err != nil {
					return
				}
			}
		}
	}, func(t *testing.T, tr *Transport, url string) {
		resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/endless", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Read(make([]byte, 10))
		resp.Body.Close()
		if resp, _ := get(t, tr, url+"/next"); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	})
}

// Contexts end requests that wait for the header, and those that read the body.
func TestCancel(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then a server of HTTP/1.1 sees that nobody waits
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // else the end of the body may come before the end of the connection
	}, func(t *testing.T, tr *Transport, url string) {
		cause := errors.New("enough")
		for _, path := range []string{"/header", "/body"} {
			for _, method := range []string{"GET", "POST"} {
				ctx, cancel := context.WithCancelCause(t.Context())
				req := newRequest(t, method, url+path, strings.NewReader("body")).WithContext(ctx)
				if method == "GET" {
					req = newRequest(t, method, url+path, nil).WithContext(ctx)
				}
				if path == "/header" {
					time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
				}
				resp, err := tr.RoundTrip(req)
				if err == nil {
					time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if !errors.Is(err, context.Canceled) && !errors.Is(err, cause) {
					t.Errorf("%s %s: %v", method, path, err)
				}
				cancel(nil)
			}
		}
	})
}

func TestResponseHeaderTimeout(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(t *testing.T, tr *Transport, url string) {
			tr = newTransport(t, tr.Dialer.TLSConfig)
			tr.ResponseHeaderTimeout = 50 * time.Millisecond
			_, err := tr.RoundTrip(newRequest(t, "GET", url, nil))
			var timeout interface{ Timeout() bool }
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Error(err)
			}
		})
}

// The header says what net/http's own transport would say, and never Early-Data.
func TestHeader(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) { r.Header.Write(w) }, func(t *testing.T, tr *Transport, url string) {
		std := &http.Transport{TLSClientConfig: tr.Dialer.TLSConfig, ForceAttemptHTTP2: true}
		defer std.CloseIdleConnections()
		req := newRequest(t, "GET", url+"/", nil)
		_, want := do(t, std, req)
		if _, got := do(t, tr, req); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// What cannot be sent is refused as net/http does, and the body is closed.
func TestBadRequests(t *testing.T) {
	everyServer(t, telling, func(t *testing.T, tr *Transport, url string) {
		for name, spoil := range map[string]func(*http.Request){
			"no URL":      func(r *http.Request) { r.URL = nil },
			"no host":     func(r *http.Request) { r.URL.Host = "" },
			"no header":   func(r *http.Request) { r.Header = nil },
			"bad header":  func(r *http.Request) { r.Header["a b"] = []string{"c"} },
			"bad value":   func(r *http.Request) { r.Header.Set("A", "b\r\nEvil: c") },
			"bad method":  func(r *http.Request) { r.Method = "GE T" },
			"bad scheme":  func(r *http.Request) { r.URL.Scheme = "gopher" },
			"bad trailer": func(r *http.Request) { r.Trailer = http.Header{"a b": nil} },
		} {
			body := &closeCounter{Reader: strings.NewReader("body")}
			req := newRequest(t, "POST", url, body)
			spoil(req)
			if resp, err := tr.RoundTrip(req); err == nil {
				t.Errorf("%s: %s", name, resp.Status)
			}
			if n := body.closed.Load(); n != 1 {
				t.Errorf("%s: the body was closed %d times", name, n)
			}
		}
	})
}

// Many small requests over few connections: bodies do not get mixed up.
func TestReuse(t *testing.T) {
	everyServer(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(t *testing.T, tr *Transport, url string) {
		reused := 0
		for i := range 20 {
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
				if i.Reused {
					reused++
				}
			}})
			want := strconv.Itoa(i)
			if _, body := do(t, tr, newRequest(t, "PUT", url, strings.NewReader(want)).WithContext(ctx)); body != want {
				t.Errorf("%q, want %q", body, want)
			}
		}
		if reused != 19 {
			t.Errorf("%d requests of 20 found a connection, want 19", reused)
		}
	})
}
