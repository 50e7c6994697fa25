package tfohttp

import (
	"context"
	"net/http"
	"strings"
)

// EarlyMode is a request's own word on early data.
type EarlyMode int

const (
	EarlyDefault EarlyMode = iota // as Transport.Early has it
	EarlyForbid                   // the request waits for the handshake
	EarlyAllow                    // the caller vouches that the request is replayable
)

type earlyKey struct{}

// WithEarlyData returns a context for requests that Transport.Early does not decide on. With EarlyAllow the caller vouches that
// they are *replayable*: that it does no harm if the server processes one of them several times (RFC 8470, section 4). A POST that is
// allowed so needs a body of known length of at most 16 KiB and Request.GetBody, as http.NewRequest sets it. The context
// also counts for the requests that an http.Client makes on redirection.
func WithEarlyData(ctx context.Context, mode EarlyMode) context.Context {
	return context.WithValue(ctx, earlyKey{}, mode)
}

// Safe tells whether a request is *replayable* by the meaning of its method (RFC 9110, section 9.2.1): GET, HEAD, OPTIONS or
// TRACE, without a body. It is the default of Transport.Early.
func Safe(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return !hasBody(req)
	}
	return false
}

// SafeNoQuery is Safe without those whose URL has a query: there are servers on which a GET with parameters changes something.
func SafeNoQuery(req *http.Request) bool {
	return Safe(req) && req.URL.RawQuery == "" && !req.URL.ForceQuery
}

// mayBeEarly tells whether a request is *replayable*: whether it can be early at all, and whether the caller or the policy
// says so.
func (t *Transport) mayBeEarly(req *http.Request) bool {
	mode, _ := req.Context().Value(earlyKey{}).(EarlyMode)
	switch {
	case mode == EarlyForbid || !canBeEarly(req):
		return false
	case mode == EarlyAllow:
		return true
	case t.Early != nil:
		return t.Early(req)
	}
	return Safe(req)
}

// canBeEarly tells whether a request can be early if somebody vouches that it is *replayable*. What takes another turn, or is
// meant for the next hop alone, never is; nor is what comes from somebody else's early data (RFC 8470, section
// 5.2: the one who gets its 425 is to be the original client).
func canBeEarly(req *http.Request) bool {
	if req.Method == http.MethodConnect || len(req.TransferEncoding) > 0 || len(req.Trailer) > 0 {
		return false
	}
	for name := range req.Header {
		switch name = strings.ToLower(name); name {
		case "upgrade", "expect", "content-length", "transfer-encoding", "te", "trailer", "early-data":
			return false
		default:
			if strings.HasPrefix(name, "proxy-") {
				return false
			}
		}
	}
	if !hasBody(req) {
		return req.ContentLength == 0
	}
	return req.GetBody != nil && req.ContentLength > 0 && req.ContentLength < maxFlight
}

// hasBody tells whether a body follows the header.
func hasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody
}
