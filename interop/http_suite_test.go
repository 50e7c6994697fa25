package interop

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/tlstfo/tlstfo/tfohttp"
)

const (
	backendPort = "8080"
	backendAddr = "127.0.0.1:" + backendPort
	bigBody     = 1 << 20
)

// backendMain is the application behind the web servers. It does what the suite asks for.
func backendMain([]string) error {
	l, err := net.Listen("tcp", backendAddr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/app/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, "/app/cookie", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/app/cookie", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("Cookie"), body)
	})
	mux.HandleFunc("/app/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		fmt.Fprintf(z, "for %q", r.Header.Get("Accept-Encoding"))
	})
	mux.HandleFunc("/app/echo", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			w.Write(b)
		}
	})
	mux.HandleFunc("/app/nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/app/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/app/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<14)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/app/tooearly", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Early-Data") == "1" {
			w.WriteHeader(http.StatusTooEarly) // RFC 8470, section 5.2
			return
		}
		io.WriteString(w, "in time")
	})
	mux.HandleFunc("/app/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Sum")
		io.WriteString(w, "body")
		w.Header().Set("Sum", "4")
	})
	return http.Serve(l, mux)
}

// A suite asks a server for what users of net/http rely on.
type suite struct {
	transport *tfohttp.Transport
	client    *http.Client
	base      string
}

// suiteHTTP runs a suite without connections, so that each case dials, and with.
func suiteHTTP(ctx context.Context, t *tfohttp.Transport, base string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	s := &suite{t, &http.Client{Transport: t, Jar: jar}, base}
	var all []error
	for _, idle := range []bool{false, true} {
		for _, c := range []struct {
			method, path, body string
			expect             bool
			want               string
		}{
			{"POST", "/app/redirect", "body", false, "200 POST a=b body"},
			{"GET", "/app/redirect", "", false, "200 GET a=b "},
			{"GET", "/app/gzip", "", false, `200 for "gzip"`},
			{"POST", "/app/echo", "expected", true, "200 expected"},
			{"PUT", "/app/echo", strings.Repeat("0123456789abcdef", bigBody/16), false, "200 " + strings.Repeat("0123456789abcdef", bigBody/16)},
			{"HEAD", "/app/nothing", "", false, "204 "},
			{"DELETE", "/app/nothing", "", false, "204 "},
			{"GET", "/app/tooearly", "", false, "200 in time"},
		} {
			if !idle {
				t.CloseIdleConnections()
				t.Flush(ctx)
			}
			if got, err := s.do(ctx, c.method, c.path, c.body, c.expect); err != nil || got != c.want {
				all = append(all, fmt.Errorf("%s %s, idle %v: %.50q, %v, want %.50q", c.method, c.path, idle, got, err, c.want))
			}
		}
		all = append(all, s.hints(ctx), s.cutShort(ctx), s.canceled(ctx))
	}
	return errors.Join(all...)
}

// hints gets a 103 before the response and a trailer after it. nginx 1.22 passes on neither: over HTTP/2 it breaks off.
func (s *suite) hints(ctx context.Context) error {
	resp, err := s.client.Do(s.request(ctx, "HEAD", "/app/nothing", ""))
	if err != nil {
		return err
	}
	resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Server"), "nginx") {
		return nil
	}
	var codes []int
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		codes = append(codes, code)
		return nil
	}})
	resp, err = s.client.Do(s.request(ctx, "GET", "/app/hints", ""))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	got, want := fmt.Sprint(codes, string(body), resp.Trailer.Get("Sum"), err), fmt.Sprint([]int{103}, "body", "4", nil)
	if got != want {
		return fmt.Errorf("103 and trailer: %s, want %s", got, want)
	}
	return nil
}

func (s *suite) request(ctx context.Context, method, path, body string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = bytes.NewReader([]byte(body))
	}
	req, _ := http.NewRequestWithContext(ctx, method, s.base+path, reader)
	req.Host = serverName
	return req
}

// do makes a request and returns its status and body.
func (s *suite) do(ctx context.Context, method, path, body string, expect bool) (string, error) {
	req := s.request(ctx, method, path, body)
	continued := false
	if expect {
		req.Header.Set("Expect", "100-continue")
		req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() { continued = true }}))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if noneOverHTTP2 := strings.HasPrefix(resp.Header.Get("Server"), "nginx") && resp.ProtoMajor == 2; expect && !continued && !noneOverHTTP2 {
		err = errors.Join(err, errors.New("there was no 100 (Continue)"))
	}
	if !resp.TLS.HandshakeComplete {
		err = errors.Join(err, errors.New("the state is not final"))
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b), err
}

// cutShort ends a response before its end.
func (s *suite) cutShort(ctx context.Context) error {
	resp, err := s.client.Do(s.request(ctx, "GET", "/app/endless", ""))
	if err != nil {
		return err
	}
	_, err = io.ReadFull(resp.Body, make([]byte, 1000))
	return errors.Join(err, resp.Body.Close())
}

// canceled ends requests before their response, at whatever stage they are by then, and one while its body comes.
func (s *suite) canceled(ctx context.Context) error {
	for _, limit := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond, 200 * time.Millisecond} {
		for _, method := range []string{"GET", "POST"} {
			s.transport.CloseIdleConnections()
			short, cancel := context.WithTimeout(ctx, limit)
			resp, err := s.client.Do(s.request(short, method, "/app/slow", ""))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%s, canceled after %v: %v, %v", method, limit, resp, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := s.client.Do(s.request(ctx, "GET", "/app/endless", ""))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadFull(resp.Body, make([]byte, 1000))
	cancel()
	if _, after := io.Copy(io.Discard, resp.Body); err != nil || !errors.Is(after, context.Canceled) {
		return fmt.Errorf("canceled while the body came: %v, %v", err, after)
	}
	return nil
}

const (
	shortPort     = "444"
	shortRequests = "20" // on a connection
)

// shortHTTP makes requests, every other one unsafe, of a server that ends its connections after a few.
func shortHTTP(ctx context.Context, t *tfohttp.Transport, base string) error {
	s := &suite{transport: t, client: &http.Client{Transport: t}, base: base}
	errs := make(chan error, 150)
	for i := range cap(errs) {
		go func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond) // so that some meet a connection that ends
			method, text := "GET", ""
			if i%2 == 1 {
				method, text = "POST", "body"
			}
			if _, err := s.do(ctx, method, fmt.Sprintf("/short-%d", i), text, false); err != nil {
				err = fmt.Errorf("%s %d: %w", method, i, err)
				errs <- err
				return
			}
			errs <- nil
		}()
	}
	var all []error
	for range cap(errs) {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// pushHTTP asks for what the server would push something with.
func pushHTTP(ctx context.Context, t *tfohttp.Transport, base string) error {
	s := &suite{transport: t, client: &http.Client{Transport: t}, base: base}
	for range 2 {
		if got, err := s.do(ctx, "GET", "/pushing", "", false); err != nil || !strings.HasPrefix(got, "200 ") {
			return fmt.Errorf("%.50q, %w", got, err)
		}
		t.CloseIdleConnections()
		t.Flush(ctx)
	}
	return nil
}

// mixHTTP makes 1,000 requests, every other one unsafe, over connections that are new, idle and closed all the while: 500 at one moment, and more
// while they are answered.
func mixHTTP(ctx context.Context, t *tfohttp.Transport, base string) error {
	t.MaxConnsPerHost = 32
	s := &suite{transport: t, client: &http.Client{Transport: t}, base: base}
	for i := range 5 { // with a ticket, and alone
		if _, err := s.do(ctx, "GET", fmt.Sprintf("/warm-%d", i), "", false); err != nil {
			return err
		}
		t.CloseIdleConnections()
		t.Flush(ctx)
	}
	var mu sync.Mutex
	var all []error
	var reused, fresh int
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		if i.Reused {
			reused++
		} else {
			fresh++
		}
	}})
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 1000 {
		wg.Go(func() {
			<-start
			if i >= 500 {
				time.Sleep(time.Duration(i-500) * 2 * time.Millisecond)
			}
			method, text := "GET", ""
			if i%2 == 1 {
				method, text = "POST", "body"
			}
			req := s.request(ctx, method, fmt.Sprintf("/mix-%d", i), text)
			req.Close = i%10 < 2
			resp, err := t.RoundTrip(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				all = append(all, fmt.Errorf("%s %d: %w", method, i, err))
			}
		})
	}
	close(start)
	wg.Wait()
	if reused < 100 || fresh < 100 {
		all = append(all, fmt.Errorf("%d requests found a connection, %d did not: that is no mixture", reused, fresh))
	}
	return errors.Join(all...)
}
