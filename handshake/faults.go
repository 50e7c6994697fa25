package handshake

import "strconv"

// Fault is one thing that a peer, or the application's callbacks, can do
// wrong. It is an error itself, so that errors.Is(err, FaultBadFinished)
// works on a *LocalError. The list is append-only.
type Fault uint8

// The faults. The comment behind each is the rule that makes it one; all
// sections are of RFC 8446 unless another document is named.
const (
	_                               Fault = iota
	FaultUnexpectedMessage                // a message that the state does not allow (section 4)
	FaultUnexpectedRecord                 // a record type that the state does not allow (section 5)
	FaultDecode                           // a message that cannot be parsed (section 6.2)
	FaultBadRecordMAC                     // a record that does not open (section 5.2)
	FaultRecordOverflow                   // a record above the limit (sections 5.1 and 5.2)
	FaultPlaintextRecord                  // an unprotected record where only protected ones may come: it does not open (section 5.2)
	FaultEmptyInner                       // a protected record without a content type (section 5.4)
	FaultEmptyFragment                    // an empty handshake or alert record (section 5.1)
	FaultTooManyEmptyRecords              // the budget of empty records is used up
	FaultTooManyKeyUpdates                // the budget of KeyUpdates is used up
	FaultTooManyCCS                       // the budget of compatibility change_cipher_spec records is used up
	FaultTooManyWarnings                  // the budget of warning alerts is used up
	FaultMessageTooLarge                  // a handshake message above the budget
	FaultBadCCS                           // a change_cipher_spec that is not the single byte 1, or at a wrong time (section 5)
	FaultBadAlert                         // an alert that cannot be parsed, or a warning that TLS 1.3 does not have (section 6)
	FaultAlertLevel                       // an alert with a level that does not exist
	FaultPartialMessage                   // a message that spans a key change (section 5.1)
	FaultBadRecordVersion                 // not a TLS record at all
	FaultBadVersion                       // ServerHello's legacy_version (section 4.1.3), or SSL 3.0 in that of ClientHello (section D.5)
	FaultUnsupportedVersion               // the peer chose, or offers, only versions that we do not speak
	FaultDowngrade                        // the downgrade sentinel is there (section 4.1.3)
	FaultBadSelectedVersion               // supported_versions selects what was not offered (section 4.2.1)
	FaultBadSessionIDEcho                 // legacy_session_id_echo differs (section 4.1.3)
	FaultBadCipherSuite                   // a suite that was not offered (section 4.1.3)
	FaultBadCompression                   // server: legacy_compression_methods has another than null (section 4.1.2)
	FaultUnsolicitedExtension             // an extension that was not asked for (section 4.2)
	FaultDuplicateExtension               // an extension twice in one message (section 4.2)
	FaultMissingExtension                 // a mandatory extension is not there (section 9.2)
	FaultForbiddenExtension               // an extension in a message where it may not stand (section 4.2)
	FaultBadGroup                         // a group that was not offered (section 4.2.8)
	FaultBadKeyShare                      // a share that cannot be a public key (section 4.2.8)
	FaultSecondHelloRetryRequest          // (section 4.1.4)
	FaultUselessHelloRetryRequest         // a HelloRetryRequest that changes nothing, or asks for a share already sent (sections 4.1.4 and 4.2.8)
	FaultSuiteChangedAfterRetry           // another suite than HelloRetryRequest's (section 4.1.4)
	FaultVersionChangedAfterRetry         // another version than HelloRetryRequest's (section 4.1.4)
	FaultGroupChangedAfterRetry           // another group than HelloRetryRequest's (section 4.2.8)
	FaultBadPSKIndex                      // a PSK that was not offered (section 4.2.11)
	FaultPSKSuiteMismatch                 // a suite with another hash than the PSK's (section 4.2.11)
	FaultEarlyDataSuiteMismatch           // early data accepted under another suite (section 4.2.10)
	FaultEarlyDataALPNMismatch            // early data accepted under another protocol (section 4.2.10)
	FaultUnexpectedEarlyData              // early data accepted that was not offered, or without the PSK (section 4.2.10)
	FaultBadALPN                          // a protocol that was not offered, or not exactly one (RFC 7301, section 3.1)
	FaultNoCertificate                    // an empty server certificate (section 4.4.2.4)
	FaultBadCertificate                   // a certificate that cannot be used
	FaultBadCertificateKeyUsage           // a leaf that may not sign (section 4.4.2.2)
	FaultCertificateVerification          // the chain does not verify: x509's error is wrapped
	FaultCertificateRejected              // VerifyPeerCertificate or VerifyConnection said no
	FaultUnsupportedCertificateKey        // a public key of a type that we do not verify
	FaultBadSignatureAlgorithm            // a signature algorithm that was not offered, or does not fit the key (section 4.4.3)
	FaultBadSignature                     // CertificateVerify does not verify (section 4.4.3)
	FaultBadFinished                      // Finished does not verify (section 4.4.4)
	FaultBadCertificateRequest            // a request with a context, or without algorithms (section 4.3.2)
	FaultCertificateRequestWithPSK        // a request on a resumed handshake (section 4.3.2)
	FaultNoUsableClientCertificate        // the caller's certificate cannot be used with the algorithms asked for
	FaultClientCertificateCallback        // GetClientCertificate failed
	FaultBadTicket                        // NewSessionTicket: lifetime above 7 days (section 4.6.1)
	FaultBadKeyUpdate                     // KeyUpdate with an unknown request (section 4.6.3)
	FaultNoSharedSuite                    // server: no suite in common
	FaultNoSharedGroup                    // server: no group in common
	FaultNoSharedALPN                     // server: no protocol in common (RFC 7301, section 3.2)
	FaultNoSharedSignatureAlgorithm       // server: no certificate fits the algorithms (section 4.4.2.2)
	FaultBadBinder                        // server: a PSK binder does not verify (section 4.2.11.2)
	FaultPSKNotLast                       // server: pre_shared_key is not the last extension (section 4.2.11)
	FaultSecondHelloChanged               // server: the hello after HelloRetryRequest differs where it may not (section 4.1.2)
	FaultTooMuchEarlyData                 // server: more early data than allowed (section 4.2.10)
	FaultClientCertificateRequired        // server: an empty client certificate where one is demanded (section 4.4.2.4)
	FaultAbandoned                        // the caller gave up: the session must not go on under this key exchange
	FaultInternal                         // a fault of ours, or of the random source
	FaultCertificateCallback              // server: GetCertificate failed
	FaultBinderCount                      // server: not as many PSK binders as identities (section 4.2.11)
	FaultBadCompressionAlgorithm          // CompressedCertificate: an algorithm that was not offered (RFC 8879, section 4)
	FaultUncompressedTooLarge             // CompressedCertificate: it would expand above the budget (RFC 8879, section 5)
	FaultDecompression                    // CompressedCertificate: it does not expand to what it declares (RFC 8879, section 4)
	FaultBadRecordSizeLimit               // record_size_limit below 64 (RFC 8449, section 4)
	FaultBadDelegatedCredential           // a delegated credential that is not valid (RFC 9345, section 4.1.3)
	FaultBadALPS                          // application settings for a protocol that has none here (draft-vvv-tls-alps, section 3)
	FaultALPSWithEarlyData                // application settings where early data carries them on (draft-vvv-tls-alps, section 4.3)
	FaultPSKWithoutKeyShare               // ServerHello selects the PSK and has no key_share (section 4.2.11)
	FaultTooManyTickets                   // the budget of NewSessionTickets is used up
	FaultGroupForShow                     // a share of a finite-field group, which a hello can only list (section 4.2.8)
	faultCount
)

// Alert returns the alert that a fault is answered with: the one map from
// faults to alerts.
func (f Fault) Alert() Alert {
	if int(f) < len(faultTable) {
		return faultTable[f].alert
	}
	return AlertInternalError
}

// ofCallback tells that the fault is what a callback of the application said.
func (f Fault) ofCallback() bool {
	return f == FaultCertificateRejected || f == FaultClientCertificateCallback || f == FaultCertificateCallback
}

// String describes the fault in a few words.
func (f Fault) String() string {
	if int(f) < len(faultTable) && faultTable[f].text != "" {
		return faultTable[f].text
	}
	return "fault " + strconv.Itoa(int(f))
}

// Error makes a Fault a target for errors.Is.
func (f Fault) Error() string { return "tls: " + f.String() }

// faultTable is read only.
var faultTable = [faultCount]struct {
	alert Alert
	text  string
}{
	FaultUnexpectedMessage:         {AlertUnexpectedMessage, "unexpected handshake message"},
	FaultUnexpectedRecord:          {AlertUnexpectedMessage, "unexpected record type"},
	FaultDecode:                    {AlertDecodeError, "malformed message"},
	FaultBadRecordMAC:              {AlertBadRecordMAC, "record does not decrypt"},
	FaultRecordOverflow:            {AlertRecordOverflow, "record too large"},
	FaultPlaintextRecord:           {AlertBadRecordMAC, "unprotected record after keys were set"},
	FaultEmptyInner:                {AlertUnexpectedMessage, "protected record without a content type"},
	FaultEmptyFragment:             {AlertUnexpectedMessage, "empty handshake or alert record"},
	FaultTooManyEmptyRecords:       {AlertUnexpectedMessage, "too many empty records"},
	FaultTooManyKeyUpdates:         {AlertUnexpectedMessage, "too many KeyUpdate messages"},
	FaultTooManyCCS:                {AlertUnexpectedMessage, "too many change_cipher_spec records"},
	FaultTooManyWarnings:           {AlertUnexpectedMessage, "too many warning alerts"},
	FaultMessageTooLarge:           {AlertIllegalParameter, "handshake message too large"},
	FaultBadCCS:                    {AlertUnexpectedMessage, "bad change_cipher_spec"},
	FaultBadAlert:                  {AlertDecodeError, "malformed or unknown warning alert"},
	FaultAlertLevel:                {AlertIllegalParameter, "unknown alert level"},
	FaultPartialMessage:            {AlertUnexpectedMessage, "handshake message spans a key change"},
	FaultBadRecordVersion:          {AlertProtocolVersion, "not a TLS record"},
	FaultBadVersion:                {AlertProtocolVersion, "bad legacy_version"},
	FaultUnsupportedVersion:        {AlertProtocolVersion, "the peer does not speak TLS 1.3"},
	FaultDowngrade:                 {AlertIllegalParameter, "downgrade detected"},
	FaultBadSelectedVersion:        {AlertIllegalParameter, "a version was selected that was not offered"},
	FaultBadSessionIDEcho:          {AlertIllegalParameter, "the session id was not echoed"},
	FaultBadCipherSuite:            {AlertIllegalParameter, "a cipher suite was selected that was not offered"},
	FaultBadCompression:            {AlertIllegalParameter, "compression methods besides null"},
	FaultUnsolicitedExtension:      {AlertUnsupportedExtension, "unsolicited extension"},
	FaultDuplicateExtension:        {AlertIllegalParameter, "duplicate extension"},
	FaultMissingExtension:          {AlertMissingExtension, "missing extension"},
	FaultForbiddenExtension:        {AlertIllegalParameter, "extension in a wrong message"},
	FaultBadGroup:                  {AlertIllegalParameter, "a group was selected that was not offered"},
	FaultBadKeyShare:               {AlertIllegalParameter, "bad key share"},
	FaultSecondHelloRetryRequest:   {AlertUnexpectedMessage, "second HelloRetryRequest"},
	FaultUselessHelloRetryRequest:  {AlertIllegalParameter, "HelloRetryRequest asks for nothing new"},
	FaultSuiteChangedAfterRetry:    {AlertIllegalParameter, "the cipher suite changed after HelloRetryRequest"},
	FaultVersionChangedAfterRetry:  {AlertIllegalParameter, "the version changed after HelloRetryRequest"},
	FaultGroupChangedAfterRetry:    {AlertIllegalParameter, "the group changed after HelloRetryRequest"},
	FaultBadPSKIndex:               {AlertIllegalParameter, "a PSK was selected that was not offered"},
	FaultPSKSuiteMismatch:          {AlertIllegalParameter, "the cipher suite does not fit the PSK"},
	FaultEarlyDataSuiteMismatch:    {AlertIllegalParameter, "early data accepted with another cipher suite"},
	FaultEarlyDataALPNMismatch:     {AlertIllegalParameter, "early data accepted with another application protocol"},
	FaultUnexpectedEarlyData:       {AlertUnsupportedExtension, "early data accepted that was not offered"},
	FaultBadALPN:                   {AlertIllegalParameter, "an application protocol was selected that was not offered"},
	FaultNoCertificate:             {AlertDecodeError, "no server certificate"},
	FaultBadCertificate:            {AlertBadCertificate, "bad certificate"},
	FaultBadCertificateKeyUsage:    {AlertIllegalParameter, "the certificate may not be used for signatures"},
	FaultCertificateVerification:   {AlertBadCertificate, "certificate verification failed"},
	FaultCertificateRejected:       {AlertBadCertificate, "the certificate was rejected by the application"},
	FaultUnsupportedCertificateKey: {AlertUnsupportedCertificate, "unsupported public key in the certificate"},
	FaultBadSignatureAlgorithm:     {AlertIllegalParameter, "unacceptable signature algorithm"},
	FaultBadSignature:              {AlertDecryptError, "bad signature in CertificateVerify"},
	FaultBadFinished:               {AlertDecryptError, "bad Finished"},
	FaultBadCertificateRequest:     {AlertIllegalParameter, "bad CertificateRequest"},
	FaultCertificateRequestWithPSK: {AlertUnexpectedMessage, "CertificateRequest on a resumed handshake"},
	FaultNoUsableClientCertificate: {AlertHandshakeFailure, "no usable client certificate"},
	FaultClientCertificateCallback: {AlertInternalError, "GetClientCertificate failed"},
	FaultBadTicket:                 {AlertIllegalParameter, "bad NewSessionTicket"},
	FaultBadKeyUpdate:              {AlertIllegalParameter, "bad KeyUpdate"},
	FaultNoSharedSuite:             {AlertHandshakeFailure, "no cipher suite in common"},
	FaultNoSharedGroup:             {AlertHandshakeFailure, "no group in common"},
	FaultNoSharedALPN:              {AlertNoApplicationProtocol, "no application protocol in common"},
	FaultNoSharedSignatureAlgorithm: {AlertHandshakeFailure,
		"no certificate fits the peer's signature algorithms"},
	FaultBadBinder:                 {AlertDecryptError, "bad PSK binder"},
	FaultPSKNotLast:                {AlertIllegalParameter, "pre_shared_key is not the last extension"},
	FaultSecondHelloChanged:        {AlertIllegalParameter, "the second ClientHello differs where it may not"},
	FaultTooMuchEarlyData:          {AlertUnexpectedMessage, "too much early data"},
	FaultClientCertificateRequired: {AlertCertificateRequired, "a client certificate is required"},
	FaultAbandoned:                 {AlertUserCanceled, "the handshake was abandoned"},
	FaultInternal:                  {AlertInternalError, "internal error"},
	FaultCertificateCallback:       {AlertInternalError, "GetCertificate failed"},
	FaultBinderCount:               {AlertIllegalParameter, "not as many PSK binders as identities"},
	FaultBadCompressionAlgorithm:   {AlertIllegalParameter, "a certificate compression was selected that was not offered"},
	FaultUncompressedTooLarge:      {AlertBadCertificate, "the compressed certificate is too large"},
	FaultDecompression:             {AlertBadCertificate, "the compressed certificate does not expand"},
	FaultBadRecordSizeLimit:        {AlertIllegalParameter, "bad record_size_limit"},
	FaultBadDelegatedCredential:    {AlertIllegalParameter, "bad delegated credential"},
	FaultBadALPS:                   {AlertIllegalParameter, "application settings for a protocol without any"},
	FaultALPSWithEarlyData:         {AlertIllegalParameter, "application settings with early data"},
	FaultPSKWithoutKeyShare:        {AlertIllegalParameter, "the PSK was selected without a key share"},
	FaultTooManyTickets:            {AlertUnexpectedMessage, "too many NewSessionTicket messages"},
	FaultGroupForShow:              {AlertHandshakeFailure, "the server wants a finite-field group, which is only listed and not supported"},
}
