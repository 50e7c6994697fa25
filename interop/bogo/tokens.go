package main

import (
	"errors"

	"github.com/tlstfo/tlstfo/handshake"
)

// tokens returns the names that BoringSSL has for an error, each between colons
// as the runner looks for them: one, or two where our fault, with its state and its
// cause, covers what are two reasons there.
func tokens(err error) []string {
	var names []string
	var hook *hookError
	var local *handshake.LocalError
	var remote *handshake.RemoteError
	switch {
	case errors.As(err, &hook):
		names = []string{hook.token}
	case errors.As(err, &local):
		names = faultTokens(local)
	case errors.As(err, &remote):
		names = alertTokens(remote)
	}
	for i, name := range names {
		names[i] = ":" + name + ":"
	}
	return names
}

func faultTokens(err *handshake.LocalError) []string {
	switch err.Fault {
	case handshake.FaultUnexpectedMessage, handshake.FaultSecondHelloRetryRequest, handshake.FaultCertificateRequestWithPSK:
		return []string{"UNEXPECTED_MESSAGE"}
	case handshake.FaultUnexpectedRecord, handshake.FaultBadCCS:
		return []string{"UNEXPECTED_RECORD", "INVALID_OUTER_RECORD_TYPE"}
	case handshake.FaultDecode:
		return decodeTokens(err)
	case handshake.FaultBadCertificateRequest, handshake.FaultBadKeyUpdate:
		return []string{"DECODE_ERROR"}
	case handshake.FaultBadCompression:
		return []string{"INVALID_COMPRESSION_LIST"}
	case handshake.FaultBadRecordMAC, handshake.FaultPlaintextRecord, handshake.FaultEmptyInner:
		return []string{"DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "BAD_DECRYPT"}
	case handshake.FaultRecordOverflow:
		return []string{"ENCRYPTED_LENGTH_TOO_LONG", "DATA_LENGTH_TOO_LONG"}
	case handshake.FaultTooManyEmptyRecords, handshake.FaultTooManyCCS:
		return []string{"TOO_MANY_EMPTY_FRAGMENTS"}
	case handshake.FaultTooManyKeyUpdates:
		return []string{"TOO_MANY_KEY_UPDATES"}
	case handshake.FaultTooManyWarnings:
		return []string{"TOO_MANY_WARNING_ALERTS"}
	case handshake.FaultMessageTooLarge:
		return []string{"EXCESSIVE_MESSAGE_SIZE"}
	case handshake.FaultBadAlert:
		return []string{"BAD_ALERT"}
	case handshake.FaultAlertLevel:
		return []string{"UNKNOWN_ALERT_TYPE"}
	case handshake.FaultPartialMessage:
		return []string{"EXCESS_HANDSHAKE_DATA"}
	case handshake.FaultBadRecordVersion:
		if err.Info != "" {
			return []string{"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}
		}
		return []string{"WRONG_VERSION_NUMBER"}
	case handshake.FaultUnsupportedVersion, handshake.FaultBadSelectedVersion:
		return []string{"UNSUPPORTED_PROTOCOL"}
	case handshake.FaultBadVersion:
		if err.State == handshake.StateServerHelloRetried {
			return []string{"DECODE_ERROR"}
		}
		return []string{"UNSUPPORTED_PROTOCOL"}
	case handshake.FaultDowngrade:
		return []string{"TLS13_DOWNGRADE"}
	case handshake.FaultBadSessionIDEcho:
		return []string{"SERVER_ECHOED_INVALID_SESSION_ID"}
	case handshake.FaultBadCipherSuite, handshake.FaultSuiteChangedAfterRetry:
		return []string{"WRONG_CIPHER_RETURNED"}
	case handshake.FaultUnsolicitedExtension, handshake.FaultForbiddenExtension, handshake.FaultUnexpectedEarlyData:
		return []string{"UNEXPECTED_EXTENSION"}
	case handshake.FaultDuplicateExtension:
		return []string{"DUPLICATE_EXTENSION"}
	case handshake.FaultPSKWithoutKeyShare:
		return []string{"MISSING_KEY_SHARE"}
	case handshake.FaultMissingExtension:
		return missingTokens(err)
	case handshake.FaultBadGroup, handshake.FaultGroupChangedAfterRetry:
		return []string{"WRONG_CURVE"}
	case handshake.FaultUselessHelloRetryRequest:
		return []string{"EMPTY_HELLO_RETRY_REQUEST", "WRONG_CURVE"}
	case handshake.FaultVersionChangedAfterRetry:
		return []string{"SECOND_SERVERHELLO_VERSION_MISMATCH"}
	case handshake.FaultBadKeyShare:
		switch {
		case extensionOf(err) != none:
			return []string{"DUPLICATE_KEY_SHARE"}
		case err.State == handshake.StateClientHelloRetried:
			return []string{"WRONG_CURVE", "BAD_ECPOINT"}
		}
		return []string{"BAD_ECPOINT"}
	case handshake.FaultBadPSKIndex:
		return []string{"PSK_IDENTITY_NOT_FOUND"}
	case handshake.FaultBinderCount:
		return []string{"PSK_IDENTITY_BINDER_COUNT_MISMATCH"}
	case handshake.FaultPSKSuiteMismatch:
		return []string{"OLD_SESSION_PRF_HASH_MISMATCH"}
	case handshake.FaultEarlyDataSuiteMismatch:
		return []string{"CIPHER_MISMATCH_ON_EARLY_DATA"}
	case handshake.FaultEarlyDataALPNMismatch:
		return []string{"ALPN_MISMATCH_ON_EARLY_DATA"}
	case handshake.FaultBadCompressionAlgorithm:
		return []string{"UNKNOWN_CERT_COMPRESSION_ALG"}
	case handshake.FaultDecompression:
		return []string{"CERT_DECOMPRESSION_FAILED"}
	case handshake.FaultUncompressedTooLarge:
		return []string{"UNCOMPRESSED_CERT_TOO_LARGE"}
	case handshake.FaultALPSWithEarlyData:
		return []string{"UNEXPECTED_EXTENSION_ON_EARLY_DATA"}
	case handshake.FaultBadALPN, handshake.FaultBadALPS:
		return []string{"INVALID_ALPN_PROTOCOL"}
	case handshake.FaultNoCertificate, handshake.FaultClientCertificateRequired:
		return []string{"PEER_DID_NOT_RETURN_A_CERTIFICATE"}
	case handshake.FaultCertificateVerification, handshake.FaultCertificateRejected:
		return []string{"CERTIFICATE_VERIFY_FAILED"}
	case handshake.FaultBadCertificateKeyUsage:
		return []string{"KEY_USAGE_BIT_INCORRECT"}
	case handshake.FaultUnsupportedCertificateKey:
		return []string{"UNSUPPORTED_ALGORITHM"}
	case handshake.FaultBadSignatureAlgorithm:
		return []string{"WRONG_SIGNATURE_TYPE"}
	case handshake.FaultBadSignature:
		return []string{"BAD_SIGNATURE"}
	case handshake.FaultBadFinished, handshake.FaultBadBinder:
		return []string{"DIGEST_CHECK_FAILED"}
	case handshake.FaultNoUsableClientCertificate, handshake.FaultNoSharedSignatureAlgorithm:
		return []string{"NO_COMMON_SIGNATURE_ALGORITHMS"}
	case handshake.FaultNoSharedSuite:
		return []string{"NO_SHARED_CIPHER"}
	case handshake.FaultNoSharedGroup:
		return []string{"NO_SHARED_GROUP"}
	case handshake.FaultNoSharedALPN:
		return []string{"NO_APPLICATION_PROTOCOL"}
	case handshake.FaultPSKNotLast:
		return []string{"PRE_SHARED_KEY_MUST_BE_LAST"}
	case handshake.FaultTooMuchEarlyData:
		if err.State == handshake.StateEndOfEarlyData {
			return []string{"TOO_MUCH_READ_EARLY_DATA"}
		}
		return []string{"TOO_MUCH_SKIPPED_EARLY_DATA"}
	case handshake.FaultClientCertificateCallback, handshake.FaultCertificateCallback:
		return []string{"CERT_CB_ERROR"}
	}
	return nil
}

// The extensions for which BoringSSL has names of its own.
const (
	none         = -1
	alpn         = 16
	preSharedKey = 41
)

// extensionOf returns the number of the extension that a fault is in, or none.
func extensionOf(err *handshake.LocalError) int {
	var extension handshake.ExtensionError
	if !errors.As(err.Err, &extension) {
		return none
	}
	return int(extension)
}

// decodeTokens names a message that cannot be parsed, by what of it.
func decodeTokens(err *handshake.LocalError) []string {
	switch extensionOf(err) {
	case none:
	case alpn:
		return []string{"PARSE_TLSEXT"}
	case keyShare, preSharedKey:
		return []string{"DECODE_ERROR"}
	default:
		return []string{"ERROR_PARSING_EXTENSION"}
	}
	switch err.State {
	case handshake.StateClientHello:
		return []string{"CLIENTHELLO_PARSE_FAILED"}
	case handshake.StateCertificateOrRequest, handshake.StateCertificate:
		if err.Err != nil {
			return []string{"CANNOT_PARSE_LEAF_CERT"}
		}
		return []string{"DECODE_ERROR", "ERROR_PARSING_EXTENSION"}
	}
	return []string{"DECODE_ERROR"}
}

// missingTokens names an extension that is missing.
func missingTokens(err *handshake.LocalError) []string {
	switch extensionOf(err) {
	case none:
		if err.State == handshake.StateCertificateOrRequest {
			return []string{"DECODE_ERROR"}
		}
		return []string{"MISSING_KEY_SHARE"}
	case keyShare:
		return []string{"MISSING_KEY_SHARE"}
	case supportedGroups:
		return []string{"NO_SHARED_GROUP"}
	case algorithms:
		return []string{"NO_COMMON_SIGNATURE_ALGORITHMS"}
	}
	return []string{"MISSING_EXTENSION"}
}

// alertTokens names alerts that the runner sends.
func alertTokens(err *handshake.RemoteError) []string {
	const decompressionFailure = 30
	switch err.Alert {
	case handshake.AlertRecordOverflow:
		return []string{"TLSV1_ALERT_RECORD_OVERFLOW"}
	case decompressionFailure:
		return []string{"SSLV3_ALERT_DECOMPRESSION_FAILURE"}
	case handshake.AlertHandshakeFailure:
		if err.State == handshake.StateServerHello || err.State == handshake.StateServerHelloRetried {
			return []string{"HANDSHAKE_FAILURE_ON_CLIENT_HELLO"}
		}
		return []string{"SSLV3_ALERT_HANDSHAKE_FAILURE"}
	}
	return nil
}
