package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsConfig is the tls.Config that the options ask for. host is the URL's:
// whatever is dialled, the server has to prove that it is this one, or the one
// of -servername.
func tlsConfig(o *options, host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host}
	if o.serverName != "" {
		config.ServerName = o.serverName
	}
	if o.caCert != "" {
		pem, err := os.ReadFile(o.caCert)
		if err != nil {
			return nil, fmt.Errorf("cannot read the trusted certificates: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no PEM certificate in %s", o.caCert)
		}
	}
	if o.cert != "" {
		key := o.key
		if key == "" {
			key = o.cert
		}
		certificate, err := tls.LoadX509KeyPair(o.cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot use the client certificate %s with the key %s: %w", o.cert, key, err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}
