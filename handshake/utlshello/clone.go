package utlshello

import (
	"fmt"
	"slices"

	utls "github.com/refraction-networking/utls"
)

// clone copies an extension, deeply: utls writes into those that it is given. It knows all types that a hello can have whose
// answer the engine honours, and a few that have none in TLS 1.3; others are refused.
func clone(e utls.TLSExtension) (utls.TLSExtension, error) {
	switch e := e.(type) {
	case *utls.SNIExtension:
		return &utls.SNIExtension{ServerName: e.ServerName}, nil
	case *utls.StatusRequestExtension:
		return &utls.StatusRequestExtension{}, nil
	case *utls.StatusRequestV2Extension:
		return &utls.StatusRequestV2Extension{}, nil
	case *utls.SCTExtension:
		return &utls.SCTExtension{}, nil
	case *utls.ExtendedMasterSecretExtension:
		return &utls.ExtendedMasterSecretExtension{}, nil
	case *utls.SupportedCurvesExtension:
		return &utls.SupportedCurvesExtension{Curves: slices.Clone(e.Curves)}, nil
	case *utls.SupportedPointsExtension:
		return &utls.SupportedPointsExtension{SupportedPoints: slices.Clone(e.SupportedPoints)}, nil
	case *utls.SignatureAlgorithmsExtension:
		return &utls.SignatureAlgorithmsExtension{SupportedSignatureAlgorithms: slices.Clone(e.SupportedSignatureAlgorithms)}, nil
	case *utls.SignatureAlgorithmsCertExtension:
		return &utls.SignatureAlgorithmsCertExtension{SupportedSignatureAlgorithms: slices.Clone(e.SupportedSignatureAlgorithms)}, nil
	case *utls.FakeDelegatedCredentialsExtension:
		return &utls.FakeDelegatedCredentialsExtension{SupportedSignatureAlgorithms: slices.Clone(e.SupportedSignatureAlgorithms)}, nil
	case *utls.ALPNExtension:
		return &utls.ALPNExtension{AlpnProtocols: slices.Clone(e.AlpnProtocols)}, nil
	case *utls.ApplicationSettingsExtension:
		return &utls.ApplicationSettingsExtension{SupportedProtocols: slices.Clone(e.SupportedProtocols)}, nil
	case *utls.ApplicationSettingsExtensionNew:
		return &utls.ApplicationSettingsExtensionNew{SupportedProtocols: slices.Clone(e.SupportedProtocols)}, nil
	case *utls.UtlsGREASEExtension:
		return &utls.UtlsGREASEExtension{Value: e.Value, Body: slices.Clone(e.Body)}, nil
	case *utls.UtlsPaddingExtension:
		return &utls.UtlsPaddingExtension{PaddingLen: e.PaddingLen, WillPad: e.WillPad, GetPaddingLen: e.GetPaddingLen}, nil
	case *utls.UtlsCompressCertExtension:
		return &utls.UtlsCompressCertExtension{Algorithms: slices.Clone(e.Algorithms)}, nil
	case *utls.PSKKeyExchangeModesExtension:
		return &utls.PSKKeyExchangeModesExtension{Modes: slices.Clone(e.Modes)}, nil
	case *utls.SupportedVersionsExtension:
		return &utls.SupportedVersionsExtension{Versions: slices.Clone(e.Versions)}, nil
	case *utls.RenegotiationInfoExtension:
		return &utls.RenegotiationInfoExtension{Renegotiation: e.Renegotiation}, nil
	case *utls.FakeRecordSizeLimitExtension:
		return &utls.FakeRecordSizeLimitExtension{Limit: e.Limit}, nil
	case *utls.SessionTicketExtension:
		return &utls.SessionTicketExtension{}, nil // tickets of TLS 1.2 are none of ours
	case *utls.NPNExtension:
		return &utls.NPNExtension{NextProtos: slices.Clone(e.NextProtos)}, nil
	case *utls.GenericExtension:
		return &utls.GenericExtension{Id: e.Id, Data: slices.Clone(e.Data)}, nil
	case *utls.KeyShareExtension:
		shares := slices.Clone(e.KeyShares)
		for i := range shares {
			shares[i].Data = slices.Clone(shares[i].Data)
		}
		return &utls.KeyShareExtension{KeyShares: shares}, nil
	case *utls.GREASEEncryptedClientHelloExtension:
		// The key is drawn anew: one that repeats would link connections. That payload and
		// config_id are drawn anew utls sees to.
		return &utls.GREASEEncryptedClientHelloExtension{CandidateCipherSuites: slices.Clone(e.CandidateCipherSuites),
			CandidateConfigIds: slices.Clone(e.CandidateConfigIds), CandidatePayloadLens: slices.Clone(e.CandidatePayloadLens)}, nil
	case utls.PreSharedKeyExtension:
		return e, nil // only to be left out
	case *utls.FakeChannelIDExtension:
		return nil, refused("channel_id")
	case *utls.FakeTokenBindingExtension:
		return nil, refused("token_binding")
	case *utls.QUICTransportParametersExtension:
		return nil, refused("quic_transport_parameters")
	case *utls.CookieExtension:
		return nil, refused("a cookie, which only a HelloRetryRequest gives,")
	}
	return nil, refused(fmt.Sprintf("an extension of type %T", e))
}

func refused(what string) error {
	return fmt.Errorf("the hello offers %s and the engine could not honour the server's answer", what)
}
