package handshake

import (
	"encoding/hex"
	"io"
)

// logSecret writes a line of the NSS key log format: a label, the random of the
// ClientHello, and a secret.
func logSecret(w io.Writer, label string, random, secret []byte) error {
	if w == nil {
		return nil
	}
	line := make([]byte, 0, len(label)+2*len(random)+2*len(secret)+3)
	line = append(append(line, label...), ' ')
	line = append(hex.AppendEncode(line, random), ' ')
	line = append(hex.AppendEncode(line, secret), '\n')
	_, err := w.Write(line)
	return err
}

func (c *Client) logSecret(label string, secret []byte) Fault {
	if err := logSecret(c.cfg.KeyLogWriter, label, c.hello.random, secret); err != nil {
		return c.because(FaultInternal, err)
	}
	return 0
}

func (s *Server) logSecret(label string, secret []byte) Fault {
	if err := logSecret(s.cfg.KeyLogWriter, label, s.hello.random, secret); err != nil {
		return s.internal(err)
	}
	return 0
}
