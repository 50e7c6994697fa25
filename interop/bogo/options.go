package main

// options are the flags of one connection. The tag is a flag's name. The type
// of the field says what value the flag has: bool none; a string, or raw bytes
// as a string; a number; a base64 value; a slice of numbers takes one more with
// each use of the flag.
type options struct {
	// The process.
	Port                  int    `flag:"port"`
	IPv6                  bool   `flag:"ipv6"`
	ShimID                uint64 `flag:"shim-id"`
	Server                bool   `flag:"server"`
	IsHandshakerSupported bool   `flag:"is-handshaker-supported"`
	ResumeCount           int    `flag:"resume-count"`
	ResumptionDelay       int    `flag:"resumption-delay"` // seconds

	// What the connection does.
	Async                   bool   `flag:"async"`
	ShimWritesFirst         bool   `flag:"shim-writes-first"`
	ShimInitialWrite        string `flag:"shim-initial-write"`
	RepeatShimInitialWrite  int    `flag:"repeat-shim-initial-write"`
	ReadWithUnfinishedWrite bool   `flag:"read-with-unfinished-write"`
	EarlyWriteAfterMessage  int    `flag:"early-write-after-message"`
	ShimShutsDown           bool   `flag:"shim-shuts-down"`
	CheckCloseNotify        bool   `flag:"check-close-notify"`
	SendAlert               bool   `flag:"send-alert"`
	KeyUpdate               bool   `flag:"key-update"`
	ExportKeyingMaterial    int    `flag:"export-keying-material"`
	ExportLabel             string `flag:"export-label"`
	ExportContext           string `flag:"export-context"`
	UseExportContext        bool   `flag:"use-export-context"`
	ExportTrafficSecrets    bool   `flag:"export-traffic-secrets"`

	// What it offers and accepts.
	TrustCert                 string   `flag:"trust-cert"`
	HostName                  string   `flag:"host-name"`
	AdvertiseALPN             string   `flag:"advertise-alpn"` // as on the wire
	Curves                    []uint16 `flag:"curves"`
	KeyShares                 []uint16 `flag:"key-shares"`
	NoKeyShares               bool     `flag:"no-key-shares"`
	ServerSupportedGroupsHint []uint16 `flag:"server-supported-groups-hint"`
	VerifyPrefs               []uint16 `flag:"verify-prefs"`
	EnableOCSPStapling        bool     `flag:"enable-ocsp-stapling"`
	EnableSCTs                bool     `flag:"enable-signed-cert-timestamps"`
	EnableEarlyData           bool     `flag:"enable-early-data"`
	MaxCertList               int      `flag:"max-cert-list"`

	// A client has these only by a Builder of other hellos than the engine's own.
	EnableGREASE               bool     `flag:"enable-grease"`
	EnableECHGREASE            bool     `flag:"enable-ech-grease"`
	PermuteExtensions          bool     `flag:"permute-extensions"`
	InstallCertCompressionAlgs bool     `flag:"install-cert-compression-algs"`
	InstallCertCompressionAlg  uint16   `flag:"install-one-cert-compression-alg"` // a server's
	ApplicationSettings        []string `flag:"application-settings"`             // protocol, comma, settings
	ALPSUseNewCodepoint        int      `flag:"alps-use-new-codepoint"`

	SelectALPN              string `flag:"select-alpn"`
	DeclineALPN             bool   `flag:"decline-alpn"`
	RejectALPN              bool   `flag:"reject-alpn"`
	ServerPreference        bool   `flag:"server-preference"`
	NoTicket                bool   `flag:"no-ticket"`
	TicketKey               base64 `flag:"ticket-key"`
	ClientCAList            string `flag:"use-client-ca-list"`
	RequireAnyClientCert    bool   `flag:"require-any-client-certificate"`
	VerifyPeer              bool   `flag:"verify-peer"`
	VerifyFail              bool   `flag:"verify-fail"`
	ReverifyOnResume        bool   `flag:"reverify-on-resume"`
	UseCustomVerifyCallback bool   `flag:"use-custom-verify-callback"`
	UseOCSPCallback         bool   `flag:"use-ocsp-callback"`
	FailOCSPCallback        bool   `flag:"fail-ocsp-callback"`
	FailCertCallback        bool   `flag:"fail-cert-callback"`
	credential                     // -cert-file and the like, before any -new-x509-credential
	credentials             []credential

	// What it must find.
	ExpectVersion                 uint16   `flag:"expect-version"`
	ExpectCipher                  uint16   `flag:"expect-cipher"`
	ExpectCipherAES               uint16   `flag:"expect-cipher-aes"`
	ExpectCipherNoAES             uint16   `flag:"expect-cipher-no-aes"`
	ExpectCurveID                 uint16   `flag:"expect-curve-id"`
	ExpectPeerSignatureAlgorithm  uint16   `flag:"expect-peer-signature-algorithm"`
	ExpectPeerVerifyPrefs         []uint16 `flag:"expect-peer-verify-pref"`
	ExpectALPN                    string   `flag:"expect-alpn"`
	ExpectAdvertisedALPN          string   `flag:"expect-advertised-alpn"` // as on the wire
	ExpectServerName              string   `flag:"expect-server-name"`
	ExpectTicketAgeSkew           int      `flag:"expect-ticket-age-skew"` // seconds
	ExpectOCSPResponse            base64   `flag:"expect-ocsp-response"`
	ExpectSCTs                    base64   `flag:"expect-signed-cert-timestamps"`
	ExpectPeerCertFile            string   `flag:"expect-peer-cert-file"`
	ExpectVerifyResult            bool     `flag:"expect-verify-result"`
	ExpectClientCAList            string   `flag:"expect-client-ca-list"`
	ExpectSelectedCredential      []int    `flag:"expect-selected-credential"`
	ExpectHRR                     bool     `flag:"expect-hrr"`
	ExpectNoHRR                   bool     `flag:"expect-no-hrr"`
	ExpectSessionMiss             bool     `flag:"expect-session-miss"`
	ExpectNoSession               bool     `flag:"expect-no-session"`
	ExpectTicketSupportsEarlyData bool     `flag:"expect-ticket-supports-early-data"`
	ExpectAcceptEarlyData         bool     `flag:"expect-accept-early-data"`
	ExpectRejectEarlyData         bool     `flag:"expect-reject-early-data"`
	ExpectNoOfferEarlyData        bool     `flag:"expect-no-offer-early-data"`
	ExpectEarlyDataReason         string   `flag:"expect-early-data-reason"`
	ExpectPeerApplicationSettings []string `flag:"expect-peer-application-settings"` // none: there are none

	ignored
}

// ignored are flags that say nothing to an engine that speaks TLS 1.3 only and
// has no call to start a handshake.
type ignored struct {
	ImplicitHandshake          bool   `flag:"implicit-handshake"`
	NoOpExtraHandshake         bool   `flag:"no-op-extra-handshake"`
	NoTLS1                     bool   `flag:"no-tls1"`
	NoTLS11                    bool   `flag:"no-tls11"`
	NoTLS12                    bool   `flag:"no-tls12"`
	MinVersion                 int    `flag:"min-version"`
	MaxVersion                 int    `flag:"max-version"` // parseFlags refuses those below TLS 1.3
	ExpectExtendedMasterSecret bool   `flag:"expect-extended-master-secret"`
	ExpectSecureRenegotiation  bool   `flag:"expect-secure-renegotiation"`
	NoLegacyServerConnect      bool   `flag:"no-legacy-server-connect"`
	RenegotiateFreely          bool   `flag:"renegotiate-freely"`
	SelectNextProto            string `flag:"select-next-proto"`
	ExpectNoSessionID          bool   `flag:"expect-no-session-id"`        // a cache of sessions is not there
	ExpectNoECHNameOverride    bool   `flag:"expect-no-ech-name-override"` // names come from encrypted ClientHellos only
}

// credential is a certificate chain with its key, as the flags describe it.
type credential struct {
	CertFile        string   `flag:"cert-file"`
	KeyFile         string   `flag:"key-file"`
	SigningPrefs    []uint16 `flag:"signing-prefs"`
	OCSPResponse    base64   `flag:"ocsp-response"`
	SCTs            base64   `flag:"signed-cert-timestamps"`
	MustMatchIssuer bool     `flag:"must-match-issuer"`
}

// base64 is the value of a flag that is encoded so.
type base64 []byte
