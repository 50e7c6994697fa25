package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
)

// wantFault fails the test unless err is the fault, found in the state and
// answered with the alert.
func wantFault(t *testing.T, err error, fault Fault, state State, alert Alert) {
	t.Helper()
	var local *LocalError
	if !errors.As(err, &local) || local.Fault != fault || local.State != state || local.Alert() != alert {
		t.Errorf("%v, want %q %v, and %v", err, fault, state, alert)
	}
}

// wantPlainAlert fails the test unless the output ends with a fatal alert in
// plaintext.
func wantPlainAlert(t *testing.T, out []byte, alert Alert) {
	t.Helper()
	if n := len(out) - 7; n < 0 || string(out[n:]) != string([]byte{21, 3, 3, 0, 2, 2, byte(alert)}) {
		t.Errorf("the output does not end with %v", alert)
	}
}

// The error of a callback may choose the alert; close_notify is none.
func TestCallbackChoosesAlert(t *testing.T) {
	for _, c := range []struct {
		cause error
		want  Alert
	}{
		{errors.New("no"), AlertBadCertificate},
		{tls.AlertError(AlertCertificateUnknown), AlertCertificateUnknown},
		{fmt.Errorf("no: %w", tls.AlertError(AlertBadCertificateStatusResponse)), AlertBadCertificateStatusResponse},
		{tls.AlertError(AlertCloseNotify), AlertBadCertificate},
		{tls.AlertError(AlertUserCanceled), AlertBadCertificate},
	} {
		server, client, _ := serverSetup(t)
		client.VerifyConnection = func(tls.ConnectionState) error { return c.cause }
		clientErr, serverErr := newPair(t, server, client, "").run()
		wantFault(t, clientErr, FaultCertificateRejected, StateCertificateOrRequest, c.want)
		var remote *RemoteError
		if !errors.As(serverErr, &remote) || remote.Alert != c.want {
			t.Errorf("%v: the server saw %v", c.cause, serverErr)
		}
	}
	server, client, _ := serverSetup(t)
	server.ClientAuth = tls.RequireAnyClientCert
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return nil, tls.AlertError(AlertHandshakeFailure)
	}
	clientErr, _ := newPair(t, server, client, "").run()
	wantFault(t, clientErr, FaultClientCertificateCallback, StateFinished, AlertHandshakeFailure)
	// Only a callback's error has a say.
	err := &LocalError{Fault: FaultDecode, Err: tls.AlertError(AlertUnknownCA)}
	if err.Alert() != AlertDecodeError {
		t.Errorf("a parser's error chose %v", err.Alert())
	}
}

// Application data must be protected (section 5.1): not even an empty record of
// it may come before there are keys.
func TestUnprotectedApplicationData(t *testing.T) {
	for _, record := range [][]byte{{23, 3, 3, 0, 0}, {23, 3, 3, 0, 1, 0}} {
		cfg, _ := testSetup(t)
		c := mustClient(t, cfg)
		c.Feed(record)
		_, err := c.Next(testTime)
		wantFault(t, err, FaultUnexpectedRecord, StateServerHello, AlertUnexpectedMessage)
		wantPlainAlert(t, c.AppendOutput(nil), AlertUnexpectedMessage)
	}
}

// A record with an outer type other than application_data is refused even if
// it opens (section 5.2: opaque_type is 23); one that is not protected does not
// open, and "the receiver MUST terminate the connection with a bad_record_mac
// alert".
func TestOuterType(t *testing.T) {
	s, _, _, o := testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	inner := append([]byte("data"), byte(recordApplication))
	header := []byte{byte(recordHandshake), 3, 3, 0, byte(len(inner) + 16)}
	sealed := s.writer.aead.Seal(header, s.writer.iv[:], inner, header) // the first record: its nonce is the IV
	wantFault(t, feedError(o, sealed), FaultUnexpectedRecord, StateConnected, AlertUnexpectedMessage)

	_, _, _, o = testSplit(t, tls.TLS_AES_128_GCM_SHA256, nil)
	plain := appendPlaintext(nil, recordHandshake, versionTLS12, []byte{byte(typeKeyUpdate), 0, 0, 1, 0})
	wantFault(t, feedError(o, plain), FaultPlaintextRecord, StateConnected, AlertBadRecordMAC)
}

// A field of ServerHello that has one lawful value only, and a certificate that
// is none: decode_error, as crypto/tls and BoringSSL have it.
func TestUndecodable(t *testing.T) {
	cfg, _ := testSetup(t)
	c := mustClient(t, cfg)
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(append(body, 32), c.hello.sessionID...)
	body = append(body, 0x13, 1, 1 /* compression */, 0, 6, 0, 43, 0, 2, 3, 4)
	c.Feed(appendPlaintext(nil, recordHandshake, versionTLS12, append([]byte{byte(typeServerHello), 0, 0, byte(len(body))}, body...)))
	_, err := c.Next(testTime)
	wantFault(t, err, FaultDecode, StateServerHello, AlertDecodeError)
	wantPlainAlert(t, c.AppendOutput(nil), AlertDecodeError)

	server, client, _ := serverSetup(t)
	server.Certificates[0].Certificate = [][]byte{[]byte("garbage")}
	clientErr, _ := newPair(t, server, client, "").run()
	wantFault(t, clientErr, FaultDecode, StateCertificateOrRequest, AlertDecodeError)
}

// Config.MaxMessageLen bounds what a server can make a client hold.
func TestMaxMessageLen(t *testing.T) {
	server, client, _ := serverSetup(t)
	leaf, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	client.Groups = []tls.CurveID{tls.X25519} // so that ServerHello is shorter
	message := 1 + 3 + 3 + len(leaf.Raw) + 2  // Certificate: context, list, entry, extensions
	client.MaxMessageLen = message
	if clientErr, serverErr := newPair(t, server, client, "").run(); clientErr != nil || serverErr != nil {
		t.Errorf("at the limit: %v, %v", clientErr, serverErr)
	}
	client.MaxMessageLen = message - 1
	clientErr, _ := newPair(t, server, client, "").run()
	wantFault(t, clientErr, FaultMessageTooLarge, StateCertificateOrRequest, AlertIllegalParameter)
}
