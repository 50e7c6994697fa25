package handshake

// State is what an engine waits for.
type State uint8

// The states of a client and of a server (RFC 8446, appendix A), named for
// what they wait on.
const (
	StateIdle                 State = iota // nothing was sent yet
	StateServerHello                       // client: ServerHello or HelloRetryRequest
	StateServerHelloRetried                // client: ServerHello after HelloRetryRequest
	StateEncryptedExtensions               // client
	StateCertificateOrRequest              // client: Certificate or CertificateRequest
	StateCertificate                       // client: Certificate after CertificateRequest; server: the client's
	StateCertificateVerify                 // both
	StateFinished                          // both
	StateClientHello                       // server
	StateClientHelloRetried                // server: ClientHello after HelloRetryRequest
	StateEndOfEarlyData                    // server: early data or EndOfEarlyData
	StateConnected                         // the handshake is complete
	StateClosed                            // close_notify arrived
	StateFailed                            // after an error
	stateCount
)

// String names the state in words that fit behind "while".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "in an unknown state"
}

var stateNames = [stateCount]string{
	StateIdle:                 "preparing the first flight",
	StateServerHello:          "waiting for ServerHello",
	StateServerHelloRetried:   "waiting for ServerHello after HelloRetryRequest",
	StateEncryptedExtensions:  "waiting for EncryptedExtensions",
	StateCertificateOrRequest: "waiting for Certificate or CertificateRequest",
	StateCertificate:          "waiting for Certificate",
	StateCertificateVerify:    "waiting for CertificateVerify",
	StateFinished:             "waiting for Finished",
	StateClientHello:          "waiting for ClientHello",
	StateClientHelloRetried:   "waiting for ClientHello after HelloRetryRequest",
	StateEndOfEarlyData:       "waiting for EndOfEarlyData",
	StateConnected:            "connected",
	StateClosed:               "closed by the peer",
	StateFailed:               "failed",
}
