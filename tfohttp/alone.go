package tfohttp

import (
	"context"
	"net/http"
)

// A request that is to be the last on its connection has an HTTP/2 connection for itself, by an http.Transport for itself: it is not for those
// who wait at the gate of one, for they would all be sent away again. net/http closes that connection when the response was read. What it
// dialled for a request that failed it would keep for another, and nobody could have or close it.

// standAlone returns the http.Transport for one HTTP/2 request.
func (t *Transport) standAlone(c *call) *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alone = true
	h2 := t.newHTTP2()
	h2.DisableKeepAlives = true
	return h2
}

// take notes a new HTTP/2 connection of the call. It returns an error if it is for this call alone, and the call is over.
func (c *call) take(x *Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.alone:
	case c.over:
		return context.Canceled
	default:
		c.own = append(c.own, x)
	}
	return nil
}

// leave closes the connections that are for this call alone, all but that of a response.
func (c *call) leave(err error) {
	c.mu.Lock()
	own := c.own
	c.own, c.over = nil, true
	response := c.conn
	if err != nil {
		response = nil
	}
	c.mu.Unlock()
	for _, x := range own {
		if x != response {
			x.Close()
		}
	}
}
